import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from brats_ml.adapters.model_files.skops_file import load_estimator, write_estimator
from brats_ml.errors import MissingInputError, ModelError
from brats_ml.survival.estimators import CLASSIFIERS, calibrated, make_estimator
from brats_ml.survival.time_models import outcomes
from brats_ml.workspace.outputs import SurvivalFolder

FEATURES = np.random.default_rng(0).normal(size=(30, 4))
GROUPS = np.array(["short", "mid", "long"] * 10)


def fitted(name: str) -> Pipeline:
    return make_estimator(name, seed=0).fit(FEATURES, GROUPS)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_an_estimator_read_back_predicts_the_same(tmp_path: Path, name: str) -> None:
    estimator = fitted(name)
    write_estimator(tmp_path / "estimator.skops", estimator)

    found = load_estimator(SurvivalFolder(tmp_path).estimator)

    np.testing.assert_array_equal(found.predict(FEATURES), estimator.predict(FEATURES))


def test_a_calibrated_estimator_read_back_tells_the_same_probabilities(tmp_path: Path) -> None:
    estimator = calibrated(make_estimator("random_forest", seed=0), FEATURES, GROUPS, folds=3, seed=0)
    write_estimator(tmp_path / "estimator.skops", estimator)

    found = load_estimator(SurvivalFolder(tmp_path).estimator)

    np.testing.assert_array_equal(found.predict_proba(FEATURES), estimator.predict_proba(FEATURES))


def test_a_model_of_time_read_back_tells_the_same_curves(tmp_path: Path) -> None:
    estimator = make_estimator("cox", seed=0).fit(FEATURES, outcomes(np.arange(30.0) + 1, np.arange(30) % 5 > 0))
    write_estimator(tmp_path / "estimator.skops", estimator)

    found = load_estimator(SurvivalFolder(tmp_path).estimator)

    np.testing.assert_array_equal(found[-1].curves(FEATURES), estimator[-1].curves(FEATURES))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_equal_estimators_of_two_processes_give_equal_bytes(tmp_path: Path, name: str) -> None:
    program = (
        "from pathlib import Path; import numpy as np; from brats_ml.survival.estimators import make_estimator;"
        "from brats_ml.adapters.model_files.skops_file import write_estimator;"
        "x = np.random.default_rng(0).normal(size=(30, 4)); y = np.array(['short', 'mid', 'long'] * 10);"
        f"write_estimator(Path({str(tmp_path / 'other.skops')!r}), make_estimator({name!r}, seed=0).fit(x, y))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

    write_estimator(tmp_path / "here.skops", fitted(name))

    assert (tmp_path / "here.skops").read_bytes() == (tmp_path / "other.skops").read_bytes()


def test_a_file_with_a_type_that_is_not_trusted_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "estimator.skops"
    skops.io.dump(make_pipeline(FunctionTransformer(func=subprocess.getoutput), LogisticRegression()), path)

    with pytest.raises(ModelError, match=r"not trusted: subprocess\.getoutput"):
        load_estimator(SurvivalFolder(tmp_path).estimator)


def test_a_file_that_holds_no_pipeline_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "estimator.skops"
    skops.io.dump({"weights": [1, 2]}, path)

    with pytest.raises(ModelError, match="holds a dict"):
        load_estimator(SurvivalFolder(tmp_path).estimator)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "estimator.skops"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"estimator\.skops cannot be loaded"):
        load_estimator(SurvivalFolder(tmp_path).estimator)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"estimator\.skops does not exist"):
        load_estimator(SurvivalFolder(tmp_path).estimator)

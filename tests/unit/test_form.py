"""What a form may set."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from brats_ml.errors import ConfigError
from brats_ml.orchestration.dag import form

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"set": ["orchestration.approval_hours=1"]}, "in the checkout of its DAGs"),
        ({"set": ["survival.folds=3"], "folds": 4}, "the form sets survival.folds twice"),
        ({"set": ["train.seed=1", "train.seed=2"]}, "the form sets train.seed twice"),
    ],
)
def test_a_value_that_would_be_ignored_is_refused(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)

    with pytest.raises(ConfigError, match=sentence):
        form.apply(values, clone=tmp_path, checkout=None, drawn={})
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()

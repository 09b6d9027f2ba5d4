"""The registered segmentation model as MLflow serves it: a table of folders in, a table of predictions out."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel

from brats_ml.actions import score
from brats_ml.actions.trace import trace
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import MlflowTracker
from brats_ml.adapters.tracking.version import COHORT
from brats_ml.cohort.clinical import GROUPS
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.errors import ConfigError, ModelError
from brats_ml.models import pyfunc
from brats_ml.models.compatibility import MASKS
from brats_ml.survival.features import FEATURES
from brats_ml.workspace import Workspace
from tests.actions.registered_models import (
    TRAINED,
    champions_of,
    copy_workspace,
    make_champion,
    own_store,
    register_whole,
)

CHAMPION = f"models:/{MODELS['segmentation']}@champion"


@pytest.fixture(scope="module")
def served(
    template: Workspace, quick_params: Params, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workspace, PyFuncModel]]:
    """A checkout with a champion that was registered as a whole, and that champion as MLflow loads it. Read only."""
    with own_store():
        ws = copy_workspace(template, tmp_path_factory.mktemp("served") / "ws")
        version = register_whole(ws, quick_params, TRAINED / "registered/segmentation/data/seed_mini")
        make_champion(ws, "segmentation", version.number)
        mlflow.set_tracking_uri(embedded_store(ws.state))
        yield ws, mlflow.pyfunc.load_model(CHAMPION)


def folders(ws: Workspace) -> list[Path]:
    return sorted(path for path in ws.inbox.path.iterdir() if path.is_dir())


def table(cases: list[Path], output: Path) -> pd.DataFrame:
    return pd.DataFrame({"case_folder": list(map(str, cases)), "output_folder": str(output)})


def test_a_served_champion_writes_the_bytes_that_scoring_writes(
    served: tuple[Workspace, PyFuncModel], quick_params: Params, tmp_path: Path
) -> None:
    ws, model = served
    score.run(ws, quick_params)

    found = model.predict(table(folders(ws), tmp_path / "out"))

    scored = pd.read_csv(ws.predictions().table)
    assert found["status"].tolist() == ["scored", "scored"]
    assert found["case_id"].tolist() == scored["case_id"].tolist()
    pd.testing.assert_frame_equal(found.filter(like="_mm3"), scored.filter(like="_mm3"))
    for row in found.itertuples():
        own = ws.predictions().case(row.case_id)
        assert Path(row.label_map).read_bytes() == own.labels(row.case_id).read_bytes()
        records = [json.loads(Path(path).read_text()) for path in (row.prediction, own.prediction)]
        assert records[0]["flags"] == records[1]["flags"]
        assert records[0]["provenance"]["segmentation"] == records[1]["provenance"]["segmentation"]
        assert records[0]["provenance"]["rules"] == records[1]["provenance"]["rules"]


def test_a_trace_finds_all_that_a_served_prediction_was_made_from(
    served: tuple[Workspace, PyFuncModel], quick_params: Params, tmp_path: Path
) -> None:
    ws, model = served
    found = model.predict(table(folders(ws)[:1], tmp_path / "out"))

    parts = trace(ws, quick_params, found["label_map"][0], cases=None, output=tmp_path / "out").parts

    states = {part.what: part.state for part in parts}
    assert states["label map"] == states["record"] == states["segmentation model"] == "unchanged"
    assert {state for what, state in states.items() if what.startswith("input")} == {"unchanged"}


def test_rows_that_fail_have_a_reason_and_the_others_are_predicted(
    served: tuple[Workspace, PyFuncModel], tmp_path: Path
) -> None:
    ws, model = served
    whole, other = folders(ws)
    torn = Path(shutil.copytree(other, tmp_path / "torn" / other.name))
    for scan in torn.glob("*flair*"):
        scan.write_bytes(scan.read_bytes()[:100])
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    foreign = tmp_path / "foreign" / whole.name
    foreign.mkdir(parents=True)
    (foreign / "thesis.txt").write_text("mine")
    treated = tmp_path / "BraTS-GLI-00001-100"
    treated.mkdir()
    for scan in whole.iterdir():
        role = scan.name.removeprefix(f"{whole.name}_").removesuffix(".nii.gz")
        shutil.copy(scan, treated / volume_name(treated.name, role))
    rows = [
        (treated, tmp_path / "out", "refused", "after treatment, and the model of glioma outlines no resection cavity"),
        (torn, tmp_path / "out", "refused", "flair"),
        (whole, tmp_path / "out", "scored", None),
        (whole, tmp_path / "out", "failed", "has the same case and output folder"),
        (tmp_path / "nowhere", tmp_path / "out", "failed", "nowhere does not exist: name the folder of one case"),
        (tmp_path / "empty", tmp_path / "out", "failed", "holds no volume that is named as one of a case"),
        (tmp_path / "file", tmp_path / "out", "failed", "is a file"),
        (whole.parent, tmp_path / "out", "failed", f"holds {whole.name}, {other.name}: name the folder of one case"),
        (whole, tmp_path / "foreign", "failed", "exists and is no prediction of brats"),
        (whole, tmp_path / "file", "failed", "is a file: write a folder into output_folder"),
        (whole, whole.parent, "failed", "overlaps the folder of cases"),
        ("", tmp_path / "out", "failed", "has no path in column case_folder"),
    ]
    asked = pd.DataFrame([(str(case), str(out)) for case, out, *_ in rows], columns=["case_folder", "output_folder"])

    found = model.predict(asked)

    assert found["status"].tolist() == [status for _, _, status, _ in rows]
    for reason, (_, _, _, expected) in zip(found["reason"], rows, strict=True):
        assert pd.isna(reason) if expected is None else expected in reason
    assert found["label_map"].notna().tolist() == [status == "scored" for _, _, status, _ in rows]
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    assert json.loads(Path(found["prediction"][0]).read_text())["status"] == "refused"


def test_a_second_call_that_predicts_the_same_keeps_one_prediction(
    served: tuple[Workspace, PyFuncModel], tmp_path: Path
) -> None:
    ws, model = served
    asked = table(folders(ws)[:1], tmp_path / "out")
    first = model.predict(asked)

    second = model.predict(asked)

    assert second.equals(first)
    assert not (tmp_path / "out/.earlier").exists()


def test_a_table_without_a_column_ends_in_a_sentence(served: tuple[Workspace, PyFuncModel]) -> None:
    with pytest.raises(MlflowException, match=r"missing inputs \['output_folder'\]"):
        served[1].predict(pd.DataFrame({"case_folder": ["/data"]}))


def test_who_loads_a_model_may_override_how_it_predicts(served: tuple[Workspace, PyFuncModel]) -> None:
    with pytest.raises(ConfigError, match="preset in model_config"):
        mlflow.pyfunc.load_model(CHAMPION, model_config={"preset": "quick"})

    assert mlflow.pyfunc.load_model(CHAMPION, model_config={"preset": "fast"}).model_config["preset"] == "fast"


@pytest.fixture(scope="module")
def survival(served: tuple[Workspace, PyFuncModel]) -> str:
    """The address of a survival model that was registered as `brats publish` does."""
    ws, _ = served
    uri, folder = embedded_store(ws.state), TRAINED / "registered/survival/data/cox"
    summary = json.loads((folder / "summary.json").read_text())
    signature, example = pyfunc.survival_interface(summary.get("features", FEATURES), timed=True)
    with MlflowTracker(uri).run("cox", name="cox", tags={}) as run:
        run_id = run.run_id
    version = Registry(uri).register(
        MODELS["survival"],
        key="cox",
        run_id=run_id,
        folder=folder,
        tags={COHORT: "synthetic", MASKS: "reference"},
        loader=pyfunc.__name__,
        signature=signature,
        example=example,
        requirements=pyfunc.requirements(pyfunc.SURVIVAL_PACKAGES),
    )
    return f"models:/{MODELS['survival']}/{version.number}"


def test_a_served_champion_gives_the_survival_group_where_an_age_is_known(
    served: tuple[Workspace, PyFuncModel], survival: str, tmp_path: Path
) -> None:
    ws, alone = served
    model = mlflow.pyfunc.load_model(CHAMPION, model_config={"survival": survival})
    asked = table(folders(ws), tmp_path / "out").assign(age_years=[61.0, None])

    found = model.predict(asked)

    assert found["survival_group"][0] in GROUPS
    assert found[[f"probability_{group}" for group in GROUPS]].loc[0].sum() == pytest.approx(1)
    assert pd.isna(found["survival_group"][1])
    assert "age" in found["survival_reason"][1]
    record = json.loads(Path(found["prediction"][0]).read_text())
    assert record["provenance"]["age_years"] == 61.0
    assert record["provenance"]["survival"]["name"] == MODELS["survival"]
    without = alone.predict(asked.assign(output_folder=str(tmp_path / "alone")))
    assert without["survival_group"].isna().all()
    assert "model_config={'survival'" in without["survival_reason"][0]


def test_a_survival_model_that_does_not_fit_is_left_out_with_the_reason(
    served: tuple[Workspace, PyFuncModel], tmp_path: Path
) -> None:
    ws, _ = served
    model = mlflow.pyfunc.load_model(CHAMPION, model_config={"survival": f"models:/{MODELS['survival']}/1"})
    found = model.predict(table(folders(ws)[:1], tmp_path / "out").assign(age_years=61.0))
    assert found["status"].tolist() == ["scored"]
    assert "learnt from synthetic patients, and the other from real ones" in found["survival_reason"][0]
    for address in (f"models:/{MODELS['survival']}/99", CHAMPION, str(tmp_path)):
        with pytest.raises(ModelError, match="correct `survival` in model_config"):
            mlflow.pyfunc.load_model(CHAMPION, model_config={"survival": address})


def test_a_model_of_another_label_scheme_ends_in_a_sentence(
    served: tuple[Workspace, PyFuncModel], quick_params: Params, tmp_path: Path
) -> None:
    ws, _ = served
    other = Path(shutil.copytree(TRAINED / "registered/segmentation/data/seed_mini", tmp_path / "seed_mini"))
    labels = json.loads((other / "labels.json").read_text())
    (other / "labels.json").write_text(json.dumps(labels | {"labels": {"LESION": 1}, "regions": {"WT": ["LESION"]}}))
    version = register_whole(ws, quick_params, other, key="other labels")

    with pytest.raises(ModelError, match="the model was trained for another label scheme; train it again"):
        mlflow.pyfunc.load_model(f"models:/{MODELS['segmentation']}/{version.number}")


def test_a_missing_package_ends_in_a_sentence(served: tuple[Workspace, PyFuncModel], tmp_path: Path) -> None:
    ws, _ = served
    champion = champions_of(ws).of(MODELS["segmentation"])
    assert champion is not None
    copied = Path(shutil.copytree(Registry(embedded_store(ws.state)).fetch(champion).parents[1], tmp_path / "model"))
    listed = copied / "requirements.txt"
    packages = listed.read_text()
    listed.write_text(f"{packages}\nno-such-package==1.0\n")
    with pytest.raises(ModelError, match=r"needs no-such-package, which this environment lacks: run `pip install -r"):
        mlflow.pyfunc.load_model(str(copied))
    listed.unlink()
    with pytest.raises(ModelError, match=r"requirements\.txt does not exist.*publish the model again"):
        mlflow.pyfunc.load_model(str(copied))


def test_an_alias_that_names_nothing_ends_in_a_sentence(served: tuple[Workspace, PyFuncModel]) -> None:
    with pytest.raises(MlflowException, match="alias challenger not found"):
        mlflow.pyfunc.load_model(f"models:/{MODELS['segmentation']}@challenger")


def test_the_registered_code_is_the_package_alone(served: tuple[Workspace, PyFuncModel]) -> None:
    ws, _ = served
    champion = champions_of(ws).of(MODELS["segmentation"])
    assert champion is not None
    model = Registry(embedded_store(ws.state)).fetch(champion).parents[1]

    assert [path.name for path in (model / "code").iterdir()] == ["brats_ml"]
    assert not list((model / "code").rglob("__pycache__"))
    assert not list((model / "code").rglob("test_*"))

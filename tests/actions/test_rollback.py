"""A rollback: what it proves first, what it writes, and when it refuses."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brats_ml.actions import rollback
from brats_ml.actions.golden_case import golden_digest, golden_folder, keep, prove
from brats_ml.adapters import folder_walk
from brats_ml.adapters.case_files.array_file import write_case
from brats_ml.adapters.tables.frames import write_csv
from brats_ml.adapters.tracking.champions import CHAMPION, PREVIOUS
from brats_ml.adapters.tracking.ledger import append_entry, promotions
from brats_ml.adapters.tracking.reigns import MODELS, ROLLED_BACK
from brats_ml.adapters.tracking.version import Version
from brats_ml.cli import checks
from brats_ml.cohort.cases import find_cases
from brats_ml.config import Params
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.errors import ConfigError, ModelError
from brats_ml.files import read_sealed, write_json, write_sealed
from brats_ml.workspace import Workspace
from brats_ml.workspace.state import GoldenCase
from tests.actions.registered_models import champions_of, copy_workspace, own_store

SEGMENTATION, SURVIVAL = MODELS["segmentation"], MODELS["survival"]


def version_of(ws: Workspace, name: str, number: int) -> Version:
    found = champions_of(ws).registry.get(name, number)
    assert found is not None
    return champions_of(ws).registry.verified(found)


def reign(ws: Workspace, params: Params, name: str, number: int, *, with_golden: bool = True) -> Version:
    """Make a version champion as `brats promote` does."""
    champions = champions_of(ws)
    version, before = version_of(ws, name, number), champions.of(name)
    golden = keep(ws, params, champions.registry, version) if with_golden else None
    assert bool(golden) == with_golden
    against = before.identity if before else None
    champions.promote(version, decision="test", against=against, golden=golden)
    return version


def golden_of(ws: Workspace, name: str, number: int) -> GoldenCase:
    return golden_folder(ws, version_of(ws, name, number))


def line(ws: Workspace) -> dict[str, Any]:
    return promotions(ws.state.ledger.path)[-1]


@pytest.fixture(scope="module")
def past(template: Workspace, quick_params: Params, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which version 1 and then version 2 of each model became champion. Read only."""
    ws = copy_workspace(template, tmp_path_factory.mktemp("past") / "ws")
    inbox = ws.unseen(None).path
    (case, *_) = find_cases(folder_walk.walk(inbox))
    write_case(ws.preprocessed.case(case.case_id), preprocess_case(inbox, case)[0])
    names = pd.DataFrame({"case_id": ["gone-001", case.case_id], "patient": ["gone", case.patient]})
    write_csv(ws.evaluation("test", "baseline_mini").cases, names)
    write_json(ws.reports.nominees, {"segmentation": {"recipe": "baseline_mini"}})
    shares = {"ncr_ratio": [0.01, 0.02], "ed_ratio": [0.03, 0.04], "et_ratio": [0.02, 0.01]}
    write_csv(ws.features("reference"), pd.DataFrame({"case_id": "a", "age_years": [60.0, None], **shares}))
    with own_store():
        for name in (SEGMENTATION, SURVIVAL):
            for number in (1, 2):
                reign(ws, quick_params, name, number)
    return ws


@pytest.fixture
def reigned(past: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of that workspace, which the test may change."""
    with own_store():
        yield copy_workspace(past, tmp_path / "ws")


@pytest.mark.parametrize("name", [SEGMENTATION, SURVIVAL])
def test_the_champion_before_returns_by_a_line_and_the_aliases(
    reigned: Workspace, quick_params: Params, name: str
) -> None:
    report = rollback.run(reigned, quick_params, model=name, reason="too many\ncalls")

    registry = champions_of(reigned).registry
    assert champions_of(reigned).of(name) == version_of(reigned, name, 1)
    assert registry.aliases(name) == {CHAMPION: 1, PREVIOUS: 2}
    written = line(reigned)
    assert (written["version"], written["previous"], written["decision"]) == (1, 2, ROLLED_BACK)
    assert written["reasons"] == [
        "a person rolled back from v2: too many\\ncalls",
        "it predicts its golden case bit by bit as before",
    ]
    assert f"{name} v1 is champion again after " in str(report)
    assert "in place of v2" in str(report)


def test_a_check_proves_and_changes_nothing(reigned: Workspace, quick_params: Params) -> None:
    before = reigned.state.ledger.path.read_bytes()

    report = rollback.run(reigned, quick_params, model=SEGMENTATION, reason="too many *calls*", prove_only=True)

    assert str(report).endswith("it predicts its golden case bit by bit as before; nothing was changed")
    assert reigned.state.ledger.path.read_bytes() == before
    assert champions_of(reigned).registry.aliases(SEGMENTATION)[CHAMPION] == 2
    assert report.details["name"] == f"{SEGMENTATION} v1"
    assert "**Reason:** `too many *calls*`" in report.details["markdown"]


def test_a_named_version_returns_and_then_the_one_that_it_replaced(reigned: Workspace, quick_params: Params) -> None:
    rollback.run(reigned, quick_params, model=SEGMENTATION, to=1)

    rollback.run(reigned, quick_params, model=SEGMENTATION)

    assert line(reigned)["version"] == 2


def test_the_golden_case_of_a_survival_model_names_no_patient(reigned: Workspace) -> None:
    kept = golden_of(reigned, SURVIVAL, 1)

    assert list(pd.read_csv(kept.features)) == ["age_years", "ncr_ratio", "ed_ratio", "et_ratio"]
    assert len(read_sealed(kept.record)["predictions"]) == 1  # the other row has no age


def test_an_alias_moved_by_hand_is_named_and_the_ledger_counts(reigned: Workspace, quick_params: Params) -> None:
    champions_of(reigned).registry.set_alias(SEGMENTATION, CHAMPION, 1)

    report = rollback.run(reigned, quick_params, model=SEGMENTATION)

    assert f"alias {CHAMPION} of {SEGMENTATION} names v1" in str(report)
    assert (line(reigned)["version"], line(reigned)["previous"]) == (1, 2)


def cut_case(golden: GoldenCase) -> None:
    """Remove the case."""
    golden.case.path.unlink()


def change_labels(golden: GoldenCase) -> None:
    """Change one voxel."""
    labels = np.load(golden.labels.path)
    labels[0, 0, 0] += 1
    np.save(golden.labels.path, labels)


def remove_all(golden: GoldenCase) -> None:
    """Rename the folder."""
    golden.path.rename(golden.path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [(cut_case, "is not what was kept"), (change_labels, "is not what was kept"), (remove_all, "is gone")],
)
def test_a_golden_case_that_is_gone_or_changed_stops_the_rollback(
    reigned: Workspace, quick_params: Params, damage: Callable[[GoldenCase], None], said: str
) -> None:
    damage(golden_of(reigned, SEGMENTATION, 1))
    before = reigned.state.ledger.path.read_bytes()

    with pytest.raises(ModelError, match=said):
        rollback.run(reigned, quick_params, model=SEGMENTATION)

    assert reigned.state.ledger.path.read_bytes() == before
    assert champions_of(reigned).registry.aliases(SEGMENTATION)[CHAMPION] == 2


def relabel(golden: GoldenCase, *, voxels: int, **computer: Any) -> str:
    """Rewrite a golden case as if its version had found less tumour then, and return the digest of the result."""
    labels = np.load(golden.labels.path)
    labels[tuple(np.argwhere(labels > 0)[:voxels].T)] = 0
    np.save(golden.labels.path, labels)
    record = read_sealed(golden.record)
    write_sealed(golden.record, {**record, "computer": record["computer"] | computer})
    return golden_digest(golden)


def test_one_voxel_may_differ_on_another_processor_only(reigned: Workspace, quick_params: Params) -> None:
    registry, version = champions_of(reigned).registry, version_of(reigned, SEGMENTATION, 1)
    golden = golden_folder(reigned, version)
    digest = relabel(golden, voxels=1)
    with pytest.raises(ModelError, match="no bit may differ"):
        prove(reigned, quick_params, registry, version, digest)

    digest = relabel(golden, voxels=0, processor="another")
    proof = prove(reigned, quick_params, registry, version, digest)

    expected = (
        "it predicts its golden case within the tolerance, not bit by bit: the processor changed from another to "
    )
    assert proof.startswith(expected)


def test_a_label_map_that_differs_too_much_is_refused_on_any_processor(
    reigned: Workspace, quick_params: Params
) -> None:
    version = version_of(reigned, SEGMENTATION, 1)
    digest = relabel(golden_folder(reigned, version), voxels=10_000, processor="another")

    with pytest.raises(ModelError, match=r"the Dice of \w\w is 0\.\d+, and at least 0\.99 is needed"):
        prove(reigned, quick_params, champions_of(reigned).registry, version, digest)


def test_a_probability_that_differs_too_much_is_refused(reigned: Workspace, quick_params: Params) -> None:
    version = version_of(reigned, SURVIVAL, 1)
    golden = golden_folder(reigned, version)
    record = read_sealed(golden.record)
    record["computer"]["processor"] = "another"
    record["predictions"][0]["probability_short"] += 0.01
    write_sealed(golden.record, record)

    with pytest.raises(ModelError, match=r"a probability differs by 0\.01, and at most 0\.001 is allowed"):
        prove(reigned, quick_params, champions_of(reigned).registry, version, golden_digest(golden))


def test_changed_files_of_the_version_stop_the_rollback(reigned: Workspace, quick_params: Params) -> None:
    """The ledger has the digest of each file, so a network that was exchanged in the store is not loaded."""
    entries = promotions(reigned.state.ledger.path)
    reigned.state.ledger.path.unlink()
    for entry in entries:
        if entry["model"] == SEGMENTATION and entry["version"] == 1:
            entry["files"]["model.keras"] = "0" * 64
        append_entry(reigned.state.ledger.path, entry)

    with pytest.raises(ModelError, match="is not what was registered"):
        rollback.run(reigned, quick_params, model=SEGMENTATION)


def test_a_champion_without_a_golden_case_is_not_returned_to(ws: Workspace, quick_params: Params) -> None:
    for number in (1, 2):
        reign(ws, quick_params, SEGMENTATION, number, with_golden=False)

    with pytest.raises(ModelError, match=f"no golden case was kept .* run `brats adopt {SEGMENTATION} 1`"):
        rollback.run(ws, quick_params, model=SEGMENTATION)


@pytest.mark.parametrize(
    ("to", "said"),
    [(2, "v2 is champion already"), (7, "v7 was never champion: earlier champions are v1")],
)
def test_a_version_that_is_no_earlier_champion_is_refused_before_anything_is_loaded(
    reigned: Workspace, quick_params: Params, to: int, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        checks.rollback(reigned, quick_params, model=SEGMENTATION, to=to)


def test_an_unknown_model_is_refused(ws: Workspace, quick_params: Params) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        checks.rollback(ws, quick_params, model="brats-segmentatio", to=None)


def test_a_second_rollback_at_the_same_time_changes_nothing(reigned: Workspace, quick_params: Params) -> None:
    """Whoever comes second finds another champion than the one that it wanted to replace."""
    champions = champions_of(reigned)
    replaced, earlier = champions.of(SEGMENTATION), version_of(reigned, SEGMENTATION, 1)
    assert replaced is not None
    champions.roll_back(earlier, replaced=replaced, golden="0", reasons=[])
    before = reigned.state.ledger.path.read_bytes()

    with pytest.raises(ModelError, match=f"{SEGMENTATION} v1 is champion now, and not {SEGMENTATION} v2"):
        champions.roll_back(earlier, replaced=replaced, golden="0", reasons=[])

    assert reigned.state.ledger.path.read_bytes() == before

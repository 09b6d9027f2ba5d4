import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brats_ml.cohort.splits import PARTS
from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError, MissingInputError, TableError
from brats_ml.files import read_json, write_json
from brats_ml.stages import split
from brats_ml.workspace import Workspace

HEADER = "Brats20ID,Age,Survival_days,Extent_of_Resection\n"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path)
    ws.tables.path.mkdir(parents=True)
    return ws


def with_images(ws: Workspace, count: int) -> None:
    write_json(ws.validation.manifest, {"cases": [{"patient": f"image{number}"} for number in range(count)]})


def with_rows(ws: Workspace, *, file: str = "survival_info.csv", **survival: object) -> None:
    rows = [f"{patient},60,{days},GTR\n" for patient, days in survival.items()]
    (ws.tables.path / file).write_text(HEADER + "".join(rows))


def parts(ws: Workspace, params: Params) -> dict[str, str]:
    split.run(ws, params)
    return dict(read_json(ws.splits)["patients"])


def test_six_patients_with_images_are_split_4_1_1(ws: Workspace, params: Params) -> None:
    with_images(ws, 6)

    report = split.run(ws, params)

    assert str(report) == "split: 4 train / 1 validation / 1 test with images; 6 new"


def test_patients_of_the_tables_alone_get_shares_of_their_own(ws: Workspace, params: Params) -> None:
    with_images(ws, 5)
    with_rows(ws, **{f"table{number}": 100 for number in range(10)}, image0=100)

    found = parts(ws, params)

    for group, expected in (("image", (3, 1, 1)), ("table", (6, 2, 2))):
        counts = Counter(part for patient, part in found.items() if patient.startswith(group))
        assert (counts["train"], counts["validation"], counts["test"]) == expected


def test_every_part_has_every_survival_group(ws: Workspace, params: Params) -> None:
    with_images(ws, 0)
    days = {"short": 299, "mid": 300, "long": 451, "alive": "ALIVE (361 days later)"}
    with_rows(ws, **{f"{group}{number}": value for group, value in days.items() for number in range(5)})

    counts = Counter((patient[:-1], part) for patient, part in parts(ws, params).items())

    assert all(counts[group, part] == (3 if part == "train" else 1) for group in days for part in PARTS)


def test_ready_made_features_bring_patients_too(ws: Workspace, params: Params) -> None:
    with_images(ws, 0)
    with_rows(ws, file="survival_features.csv", a=1, b=2, c=3)

    assert set(parts(ws, params)) == {"a", "b", "c"}


def test_a_grown_cohort_extends_the_split_and_nobody_moves(ws: Workspace, params: Params) -> None:
    with_images(ws, 6)
    with_rows(ws, a=100, b=400, c=500)
    before = parts(ws, params)
    with_images(ws, 9)
    with_rows(ws, a=100, b=400, c=500, d=600)

    after = parts(ws, params)

    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {"image6", "image7", "image8", "d"}


def test_the_same_cohort_leaves_the_same_bytes(ws: Workspace, params: Params) -> None:
    with_images(ws, 6)
    split.run(ws, params)
    before = ws.splits.path.read_bytes()

    report = split.run(ws, params)

    assert ws.splits.path.read_bytes() == before
    assert str(report).endswith("; 0 new")


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_patients_with_images_are_too_few(count: int, ws: Workspace, params: Params) -> None:
    with_images(ws, count)

    with pytest.raises(EmptyCohortError, match=f"needs at least 3 patients with valid images, found {count}"):
        split.run(ws, params)


def test_nobody_at_all_is_refused(ws: Workspace, params: Params) -> None:
    with_images(ws, 0)

    with pytest.raises(EmptyCohortError, match="no patient to split"):
        split.run(ws, params)


def test_an_impossible_row_is_named_with_its_table(ws: Workspace, params: Params) -> None:
    with_images(ws, 3)
    with_rows(ws, a=-5)

    with pytest.raises(TableError, match=r"survival_info\.csv: row of a: Survival_days -5 is impossible"):
        split.run(ws, params)


def test_without_a_manifest_the_stage_before_is_named(ws: Workspace, params: Params) -> None:
    with pytest.raises(MissingInputError, match="run `brats validate` first"):
        split.run(ws, params)


def test_the_shares_are_those_of_the_parameters(ws: Workspace, make_params: Callable[[dict[str, Any]], Params]) -> None:
    with_images(ws, 10)

    counts = Counter(parts(ws, make_params({"split.validation": 0.3, "split.test": 0.4})).values())

    assert counts == {"train": 3, "validation": 3, "test": 4}


def test_a_longer_table_leaves_the_split_of_the_images_as_it_was(ws: Workspace, params: Params) -> None:
    """Whoever trains on images need not train again."""
    with_images(ws, 6)
    split.run(ws, params)
    before = ws.image_splits.path.read_bytes()
    with_rows(ws, a=100, b=400, c=500)

    split.run(ws, params)

    assert ws.image_splits.path.read_bytes() == before


def test_a_patient_whose_images_arrive_later_keeps_the_part_the_table_gave(ws: Workspace, params: Params) -> None:
    with_images(ws, 5)
    with_rows(ws, **{f"image{number}": 100 for number in range(5, 15)})
    before = parts(ws, params)
    with_images(ws, 15)

    assert parts(ws, params) == before


def test_a_split_that_was_made_and_is_gone_is_not_drawn_anew(ws: Workspace, params: Params) -> None:
    with_images(ws, 6)
    (ws.root / "dvc.lock").write_text("schema: '2.0'\nstages: {split: {cmd: brats split}}\n")

    with pytest.raises(MissingInputError, match=r"dvc pull data/splits\.json"):
        split.run(ws, params)


def with_cases(ws: Workspace, *cases: str, **aliases: list[str]) -> None:
    records: list[dict[str, Any]] = [{"patient": case} for case in cases]
    records += [{"patient": patient, "aliases": names} for patient, names in aliases.items()]
    write_json(ws.validation.manifest, {"cases": records})


def with_mapping(ws: Workspace, *rows: str, folder: str = "release") -> None:
    path = ws.tables.path / folder / "name_mapping.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("BraTS_2018_subject_ID,BraTS_2020_subject_ID\n" + "".join(f"{row}\n" for row in rows))


OLD = [f"Brats18_CBICA_X{number}_1" for number in range(10)]
NEW = [f"BraTS20_Training_{number:03d}" for number in range(10)]


def test_who_comes_again_under_another_years_name_keeps_the_part(ws: Workspace, params: Params) -> None:
    with_cases(ws, *OLD)
    before = parts(ws, params)
    with_mapping(ws, *map(",".join, zip(OLD, NEW, strict=True)))
    with_cases(ws, *NEW)

    report = split.run(ws, params)

    after = read_json(ws.splits)["patients"]
    assert after == {new: before[old] for old, new in zip(OLD, NEW, strict=True)}
    assert read_json(ws.image_splits)["patients"] == after
    assert str(report).endswith("; 0 new")


def test_a_part_is_kept_when_the_table_that_told_the_name_is_gone(ws: Workspace, params: Params) -> None:
    with_mapping(ws, *map(",".join, zip(OLD, NEW, strict=True)))
    with_cases(ws, *NEW)
    before = parts(ws, params)
    (ws.tables.path / "release/name_mapping.csv").unlink()
    with_cases(ws, *OLD)

    after = parts(ws, params)

    assert {old: after[old] for old in OLD} == {old: before[new] for old, new in zip(OLD, NEW, strict=True)}


def test_names_told_before_the_images_arrive_are_remembered(ws: Workspace, params: Params) -> None:
    others = [f"other{number}" for number in range(6)]
    with_mapping(ws, *map(",".join, zip(OLD, NEW, strict=True)))
    with_cases(ws, *others)
    split.run(ws, params)
    (ws.tables.path / "release/name_mapping.csv").unlink()
    with_cases(ws, *others, *OLD, *NEW)

    split.run(ws, params)

    imaged = read_json(ws.image_splits)["patients"]
    assert all(imaged[old] == imaged[new] for old, new in zip(OLD, NEW, strict=True))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{}", "has no `patients`"),
        (b"[]", "has no `patients`"),
        (b'{"train": ["a"]}', "has no `patients`"),
        (b'{"patients": {"a": "valid"}}', "has a in valid, and the parts are train, validation, test"),
        (b'{"patients": {"a": ["train"]}}', r"has a in \['train'\], and"),
        (b'{"patients": {"a": "train"}, "aliases": {"a": "b"}}', "has `aliases` that are no lists of names"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
    ],
)
@pytest.mark.parametrize("which", ["data/splits.json", ".brats/splits.json"])
def test_what_is_no_split_is_refused_and_stays(
    which: str, content: bytes, reason: str, ws: Workspace, params: Params
) -> None:
    with_images(ws, 6)
    split.run(ws, params)
    path = ws.root / which
    path.write_bytes(content)

    with pytest.raises(TableError, match=rf"splits\.json: {reason}.*; it is permanent, so restore"):
        split.run(ws, params)

    assert path.read_bytes() == content


def test_a_permanent_split_with_another_part_of_a_patient_is_refused_and_stays(ws: Workspace, params: Params) -> None:
    with_images(ws, 6)
    split.run(ws, params)
    ws.splits.path.unlink()
    path = ws.state.splits.path
    edited = path.read_text().replace('"test"', '"train"', 1)
    path.write_text(edited)

    with pytest.raises(TableError, match=r"splits\.json: is not JSON, or was changed .*; it is permanent, so restore"):
        split.run(ws, params)

    assert path.read_text() == edited


def test_a_table_that_makes_one_patient_of_many_leaves_no_trace(ws: Workspace, params: Params) -> None:
    with_cases(ws, *NEW)
    split.run(ws, params)
    before = ws.state.splits.path.read_bytes()
    with_mapping(ws, *(f"batch-1,{name}" for name in NEW[:4]), *map(",".join, zip(OLD[4:], NEW[4:], strict=True)))

    with pytest.raises(TableError, match=r"name_mapping\.csv: batch-1 is in 4 rows"):
        split.run(ws, params)

    assert ws.state.splits.path.read_bytes() == before


def test_one_patient_under_two_names_never_stands_in_two_parts(ws: Workspace, params: Params) -> None:
    with_mapping(ws, *map(",".join, zip(OLD, NEW, strict=True)))
    with_cases(ws, *OLD, *NEW)

    assert set(parts(ws, params)) == set(NEW)
    imaged = read_json(ws.image_splits)["patients"]
    assert all(imaged[old] == imaged[new] for old, new in zip(OLD, NEW, strict=True))


def test_names_that_differ_in_the_year_alone_need_no_table(ws: Workspace, params: Params) -> None:
    with_cases(ws, "Brats17_TCIA_167_1", "Brats18_TCIA08_167_1", "BraTS19_TCIA08_167_1", "a", "b")

    assert set(parts(ws, params)) == {"BraTS19_TCIA08_167_1", "a", "b"}


def test_who_turns_out_to_stand_in_two_parts_trains_and_the_report_says_so(ws: Workspace, params: Params) -> None:
    with_cases(ws, *OLD, *NEW)
    before = parts(ws, params)
    held_out = next(old for old in OLD if before[old] == "test")
    training = next(new for new in NEW if before[new] == "train")
    with_mapping(ws, f"{held_out},{training}")

    report = split.run(ws, params)

    after = read_json(ws.splits)["patients"]
    assert after == {name: part for name, part in before.items() if name != held_out}
    said = (
        f"{training} was in train as {training} and test as {held_out}: it is one patient under several names, "
        "and moves to train"
    )
    assert said in str(report)
    assert "several names" not in str(split.run(ws, params))


def test_another_workspace_learns_that_a_patient_was_moved_to_train(ws: Workspace, params: Params) -> None:
    with_cases(ws, *OLD, *NEW)
    split.run(ws, params)
    stale = ws.splits.path.read_bytes()
    before = json.loads(stale)["patients"]
    held_out, training = (next(name for name in NEW if before[name] == part) for part in ("test", "train"))
    with_cases(ws, *OLD, *(set(NEW) - {held_out, training}), **{training: [held_out]})
    split.run(ws, params)
    ws.splits.path.write_bytes(stale)
    with_cases(ws, *OLD, *NEW)

    after = parts(ws, params)

    assert after[held_out] == after[training] == "train"


def test_a_split_of_another_project_is_refused(ws: Workspace, params: Params) -> None:
    with_cases(ws, *OLD)
    found = parts(ws, params)
    write_json(ws.splits, {"patients": {name: "test" if part == "train" else "train" for name, part in found.items()}})

    with pytest.raises(TableError, match=r"in another part than .*splits\.json; remove one"):
        split.run(ws, params)


def test_names_found_equal_by_their_voxels_are_one_patient(ws: Workspace, params: Params) -> None:
    with_cases(ws, "a", "b", image1=["second-7"])
    with_rows(ws, **{"second-7": 100})

    assert set(parts(ws, params)) == {"a", "b", "image1"}


def test_a_survival_row_by_another_years_name_decides_the_group(ws: Workspace, params: Params) -> None:
    with_mapping(ws, *map(",".join, zip(OLD, NEW, strict=True)))
    with_cases(ws, *NEW)
    with_rows(ws, **{old: 100 if number % 2 else 500 for number, old in enumerate(OLD)})

    found = parts(ws, params)

    counts = Counter((number % 2, found[new]) for number, new in enumerate(NEW))
    assert all(counts[group, part] == (3 if part == "train" else 1) for group in (0, 1) for part in PARTS)

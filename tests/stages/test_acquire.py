import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import nibabel as nib
import numpy as np
import pytest

from brats_ml.cohort.cases import find_cases
from brats_ml.config import Params
from brats_ml.errors import MissingInputError, SourceError
from brats_ml.files import digest_tree
from brats_ml.report import Report
from brats_ml.stages import acquire, source
from brats_ml.workspace import Workspace

MakeParams = Callable[[dict[str, Any]], Params]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def acquired(ws: Workspace, params: Params) -> Report:
    source.run(ws, params)
    return acquire.run(ws, params)


def test_phantoms_are_written_in_the_layout_and_headers_of_brats_2020(ws: Workspace, params: Params) -> None:
    report = acquired(ws, params)

    cases = find_cases(path.relative_to(ws.raw.path).as_posix() for path in ws.raw.path.rglob("*"))
    assert [case.case_id for case in cases] == [f"BraTS20_Training_50{number}" for number in range(1, 7)]
    assert all(not case.missing and case.label for case in cases)
    image, label = (
        nib.load(ws.raw.path / f"BraTS20_Training_501/BraTS20_Training_501_{role}.nii.gz") for role in ("t1", "seg")
    )
    assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    assert str(report) == "acquire: 30 volume(s), 2 table(s)"


def test_treated_phantoms_are_written_in_the_layout_and_headers_of_brats_2024(
    ws: Workspace, make_params: MakeParams
) -> None:
    acquired(ws, make_params({"phantom.cases": 3, "phantom.cavity_share": 1.0, "phantom.time_points": 2}))

    case_id = "BraTS-GLI-90001-101"
    image, label = (nib.load(ws.raw.path / f"{case_id}/{case_id}-{role}.nii.gz") for role in ("t1n", "seg"))
    assert nib.aff2axcodes(image.affine) == nib.aff2axcodes(label.affine) == ("L", "A", "S")
    assert np.unique(np.asarray(label.dataobj)).tolist() == [0, 1, 2, 3, 4]
    cases = find_cases(path.relative_to(ws.raw.path).as_posix() for path in ws.raw.path.rglob("*"))
    assert [case.patient for case in cases] == ["BraTS-GLI-90001", "BraTS-GLI-90001", "BraTS-GLI-90002"]
    for table in ("survival_info.csv", "name_mapping.csv"):
        assert len((ws.tables.path / table).read_text().splitlines()) == 3


def test_the_first_patients_do_not_depend_on_how_many_there_are(tmp_path: Path, make_params: MakeParams) -> None:
    few, many = Workspace(tmp_path / "few"), Workspace(tmp_path / "many")
    acquired(few, make_params({"phantom.cases": 2}))
    acquired(many, make_params({"phantom.cases": 4}))

    for case in ("BraTS20_Training_501", "BraTS20_Training_502"):
        assert digest_tree(few.raw.path / case) == digest_tree(many.raw.path / case)
    fewer, more = ((ws.tables.path / "survival_info.csv").read_text() for ws in (few, many))
    assert more.startswith(fewer)


def test_the_same_seed_gives_the_same_bytes(ws: Workspace, params: Params, cohort: Path) -> None:
    acquired(ws, params)

    assert digest_tree(ws.raw.path / "BraTS20_Training_503") == digest_tree(cohort / "BraTS20_Training_503")
    assert (ws.tables.path / "survival_info.csv").read_bytes() == (cohort / "survival_info.csv").read_bytes()


def test_a_folder_is_copied_unchanged_and_never_linked(ws: Workspace, cohort: Path, make_params: MakeParams) -> None:
    acquired(ws, make_params({"acquire.source": str(cohort)}))

    for path in (path for path in cohort.rglob("*") if path.is_file()):
        copy = ws.tables.path / path.name if path.suffix == ".csv" else ws.raw.path / path.relative_to(cohort)
        assert copy.read_bytes() == path.read_bytes()
        assert copy.stat().st_ino != path.stat().st_ino


def test_every_file_lies_as_in_its_source(ws: Workspace, cohort: Path, make_params: MakeParams) -> None:
    for grade, case in (("HGG", "BraTS20_Training_501"), ("LGG", "BraTS20_Training_505")):
        (ws.root / "BraTS" / grade).mkdir(parents=True)
        (ws.root / "BraTS" / grade / case).symlink_to(cohort / case)
        shutil.copy(cohort / "name_mapping.csv", ws.root / "BraTS" / grade)

    acquired(ws, make_params({"acquire.source": "BraTS"}))

    assert sorted(path.relative_to(ws.raw.path).as_posix() for path in ws.raw.path.rglob("*_t1.nii.gz")) == [
        "HGG/BraTS20_Training_501/BraTS20_Training_501_t1.nii.gz",
        "LGG/BraTS20_Training_505/BraTS20_Training_505_t1.nii.gz",
    ]
    assert sorted(path.relative_to(ws.tables.path).as_posix() for path in ws.tables.path.rglob("*.csv")) == [
        "HGG/name_mapping.csv",
        "LGG/name_mapping.csv",
    ]


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_an_archive_gives_the_same_cohort_as_its_folder(
    suffix: str, ws: Workspace, tmp_path_factory: pytest.TempPathFactory, cohort: Path, make_params: MakeParams
) -> None:
    packed = tmp_path_factory.mktemp("packed") / "cohort"
    shutil.make_archive(str(packed), {"tar.gz": "gztar"}.get(suffix, suffix), cohort)

    acquired(ws, make_params({"acquire.source": f"{packed}.{suffix}"}))

    for path in (path for path in cohort.rglob("*") if path.is_file()):
        copy = (ws.tables if path.suffix == ".csv" else ws.raw).path / path.relative_to(cohort)
        assert copy.read_bytes() == path.read_bytes()


def test_ready_made_features_come_under_one_name(ws: Workspace, params: Params, make_params: MakeParams) -> None:
    (ws.root / "mine.csv").write_text("Brats20ID,Age\n")

    acquired(ws, make_params({"survival.features_from": "mine.csv"}))

    assert (ws.tables.path / "survival_features.csv").read_text() == "Brats20ID,Age\n"


def test_tables_alone_leave_an_empty_folder_of_cases(ws: Workspace, make_params: MakeParams) -> None:
    (ws.root / "tables").mkdir()
    (ws.root / "tables/survival_info.csv").write_text("Brats20ID,Age\n")

    report = acquired(ws, make_params({"acquire.source": "tables"}))

    assert list(ws.raw.path.iterdir()) == []
    assert str(report) == "acquire: 0 volume(s), 1 table(s)"


@pytest.mark.parametrize("how", ["grown", "gone"])
def test_a_source_that_changed_since_it_was_listed_is_refused_and_nothing_is_left(
    how: str, ws: Workspace, make_params: MakeParams
) -> None:
    table = ws.root / "tables/survival_info.csv"
    table.parent.mkdir()
    table.write_text("Brats20ID,Age\n")
    params = make_params({"acquire.source": "tables"})
    source.run(ws, params)
    table.write_text("Brats20ID,Age\na,50\n") if how == "grown" else table.unlink()

    with pytest.raises(SourceError, match="changed or vanished since the source was listed; run `brats source` again"):
        acquire.run(ws, params)

    assert [path.name for path in (ws.root / "data").iterdir()] == ["listing.json"]


def test_without_a_listing_the_stage_before_is_named(ws: Workspace, params: Params) -> None:
    with pytest.raises(MissingInputError, match="run `brats source` first"):
        acquire.run(ws, params)


def test_a_cohort_from_s3_is_listed_brought_and_survives_what_dvc_does_to_it(
    ws: Workspace, cohort: Path, make_params: MakeParams, aws: str
) -> None:
    """DVC takes the right to write from a file and so from all its links; the next acquisition must not mind."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="hospital")
    names = [path.relative_to(cohort).as_posix() for path in cohort.rglob("*") if path.is_file()]
    for name in names:
        client.upload_file(str(cohort / name), "hospital", f"BraTS/{name}")
    params = make_params({"acquire.source": "s3://hospital/BraTS"})

    for _ in range(2):
        assert str(acquired(ws, params)) == "acquire: 30 volume(s), 2 table(s)"
        for name in names:
            copy = (ws.tables if name.endswith(".csv") else ws.raw).path / name
            assert copy.read_bytes() == (cohort / name).read_bytes()
            copy.chmod(0o444)
    assert len(list(ws.state.downloads.glob("*/*"))) == 32


def test_a_failed_acquisition_leaves_the_cohort_before_it(ws: Workspace, cohort: Path, make_params: MakeParams) -> None:
    acquired(ws, make_params({"acquire.source": str(cohort)}))
    before = digest_tree(ws.raw.path)
    (ws.root / "more/case").mkdir(parents=True)
    (ws.root / "more/case/case_t1.nii").touch()
    params = make_params({"acquire.source": "more"})
    source.run(ws, params)
    (ws.root / "more/case/case_t1.nii").unlink()

    with pytest.raises(SourceError, match="changed or vanished"):
        acquire.run(ws, params)

    assert digest_tree(ws.raw.path) == before
    assert not [path for path in (ws.root / "data").iterdir() if path.name.startswith(".")]

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError, MissingInputError, SourceError
from brats_ml.files import read_json
from brats_ml.stages import source
from brats_ml.workspace import Workspace

MakeParams = Callable[[dict[str, Any]], Params]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def listing(ws: Workspace, params: Params) -> dict[str, Any]:
    source.run(ws, params)
    return read_json(ws.listing)


def test_the_phantom_is_listed_by_its_parameters(ws: Workspace, params: Params) -> None:
    report = source.run(ws, params)

    assert read_json(ws.listing) == {
        "source": "phantom",
        "revision": None,
        "files": [],
        "tables": [],
        "features": None,
        "phantom": {"cases": 6, "shape": [32, 32, 32], "seed": 2020},
    }
    assert str(report) == "source: 6 phantom cases"


def test_a_folder_is_listed_by_its_volumes_and_its_tables(ws: Workspace, cohort: Path, make_params: MakeParams) -> None:
    found = listing(ws, make_params({"acquire.source": str(cohort)}))

    paths = [entry["path"] for entry in found["files"]]
    assert len(paths) == 6 * 5
    assert paths == sorted(paths)
    assert [entry["path"] for entry in found["tables"]] == ["name_mapping.csv", "survival_info.csv"]
    first = (cohort / paths[0]).stat()
    assert found["files"][0] == {
        "path": paths[0],
        "bytes": first.st_size,
        "fingerprint": f"{first.st_mtime_ns}-{first.st_ctime_ns}",
    }
    assert found["phantom"] is None


def test_a_relative_source_starts_at_the_workspace(ws: Workspace, cohort: Path, make_params: MakeParams) -> None:
    relative = os.path.relpath(cohort, ws.root)

    found = listing(ws, make_params({"acquire.source": relative}))

    assert found["source"] == relative
    assert len(found["files"]) == 30


def test_cases_and_tables_are_found_below_hgg_and_lgg_and_through_links(
    ws: Workspace, cohort: Path, make_params: MakeParams
) -> None:
    folder = ws.root / "BraTS"
    (folder / "HGG").mkdir(parents=True)
    (folder / "LGG").mkdir()
    shutil.copy(cohort / "survival_info.csv", folder / "HGG/survival_data.csv")
    (folder / "HGG/BraTS20_Training_501").symlink_to(cohort / "BraTS20_Training_501")
    shutil.copytree(cohort / "BraTS20_Training_505", folder / "LGG/BraTS20_Training_505")

    found = listing(ws, make_params({"acquire.source": "BraTS"}))

    assert {Path(entry["path"]).parent.as_posix() for entry in found["files"]} == {
        "HGG/BraTS20_Training_501",
        "LGG/BraTS20_Training_505",
    }
    assert [entry["path"] for entry in found["tables"]] == ["HGG/survival_data.csv"]


def test_a_new_case_changes_the_listing_and_nothing_else_does(
    ws: Workspace, cohort: Path, make_params: MakeParams
) -> None:
    folder = ws.root / "growing"
    shutil.copytree(cohort / "BraTS20_Training_501", folder / "BraTS20_Training_501")
    params = make_params({"acquire.source": "growing"})

    before, again = listing(ws, params), listing(ws, params)
    shutil.copytree(cohort / "BraTS20_Training_502", folder / "BraTS20_Training_502")

    assert before == again
    assert len(listing(ws, params)["files"]) == 10


@pytest.mark.parametrize("absolute", [True, False])
def test_ready_made_features_are_listed_apart_and_suffice(
    absolute: bool, ws: Workspace, tmp_path_factory: pytest.TempPathFactory, make_params: MakeParams
) -> None:
    name = str(tmp_path_factory.mktemp("elsewhere") / "features.csv") if absolute else "features.csv"
    (ws.root / name).write_text("Brats20ID,Age\n")
    (ws.root / "empty").mkdir()

    found = listing(ws, make_params({"acquire.source": "empty", "survival.features_from": name}))

    assert (found["features"]["path"], found["features"]["bytes"]) == (name, 14)
    assert (found["files"], found["tables"]) == ([], [])


def test_a_folder_of_tables_alone_is_a_cohort(ws: Workspace, make_params: MakeParams) -> None:
    (ws.root / "tables").mkdir()
    (ws.root / "tables/survival_info.csv").write_text("Brats20ID,Age\n")

    found = listing(ws, make_params({"acquire.source": "tables"}))

    assert len(found["tables"]) == 1


def test_a_missing_source_is_named(ws: Workspace, make_params: MakeParams) -> None:
    with pytest.raises(MissingInputError, match=r"nowhere does not exist: correct acquire\.source in params\.yaml"):
        source.run(ws, make_params({"acquire.source": "nowhere"}))


def test_a_missing_table_of_features_is_named(ws: Workspace, make_params: MakeParams) -> None:
    with pytest.raises(MissingInputError, match=r"correct survival\.features_from in params\.yaml"):
        source.run(ws, make_params({"survival.features_from": "nowhere.csv"}))


def test_a_source_without_volume_or_table_is_refused(ws: Workspace, make_params: MakeParams) -> None:
    (ws.root / "empty").mkdir()
    (ws.root / "empty/readme.txt").touch()

    with pytest.raises(EmptyCohortError, match=r"empty holds no volume \(\*\.nii, \*\.nii\.gz\) and no table"):
        source.run(ws, make_params({"acquire.source": "empty"}))


def test_volumes_in_no_naming_are_listed_for_validation_to_refuse(ws: Workspace, make_params: MakeParams) -> None:
    (ws.root / "odd/deep").mkdir(parents=True)
    (ws.root / "odd/deep/scan 1 \u00e4.nii").touch()

    found = listing(ws, make_params({"acquire.source": "odd"}))

    assert [entry["path"] for entry in found["files"]] == ["deep/scan 1 \u00e4.nii"]


def test_what_is_hidden_is_left_out(ws: Workspace, make_params: MakeParams) -> None:
    for name in ("a/a_t1.nii.gz", "a/._a_t1.nii.gz", ".trash/b/b_t1.nii.gz", "__MACOSX/a/a_t1.nii.gz", ".survival.csv"):
        path = ws.root / "mac" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    found = listing(ws, make_params({"acquire.source": "mac"}))

    assert [entry["path"] for entry in found["files"]] == ["a/a_t1.nii.gz"]
    assert found["tables"] == []


def test_tables_of_one_name_in_two_folders_are_both_listed(ws: Workspace, make_params: MakeParams) -> None:
    for name in ("2019/Name_Mapping.csv", "2020/deep/name_mapping.csv"):
        (ws.root / "releases" / name).parent.mkdir(parents=True)
        (ws.root / "releases" / name).touch()

    found = listing(ws, make_params({"acquire.source": "releases"}))

    assert [entry["path"] for entry in found["tables"]] == ["2019/Name_Mapping.csv", "2020/deep/name_mapping.csv"]


def test_a_table_may_not_take_the_name_of_ready_made_features(ws: Workspace, make_params: MakeParams) -> None:
    (ws.root / "tables").mkdir()
    for path in (ws.root / "tables/survival_features.csv", ws.root / "mine.csv"):
        path.touch()

    with pytest.raises(SourceError, match=r"tables: holds survival_features\.csv"):
        source.run(ws, make_params({"acquire.source": "tables", "survival.features_from": "mine.csv"}))


def test_a_file_that_is_no_archive_is_refused(ws: Workspace, make_params: MakeParams) -> None:
    (ws.root / "cohort.rar").touch()

    with pytest.raises(SourceError, match=r"cohort\.rar: is neither a folder nor an archive"):
        source.run(ws, make_params({"acquire.source": "cohort.rar"}))


def test_an_archive_in_s3_is_told_that_a_prefix_is_wanted(ws: Workspace, aws: str, make_params: MakeParams) -> None:
    boto3.client("s3").create_bucket(Bucket="packed")
    boto3.client("s3").put_object(Bucket="packed", Key="BraTS.zip", Body=b"PK")

    with pytest.raises(EmptyCohortError, match="to a prefix or folder, not to a file or an archive in it, that does"):
        source.run(ws, make_params({"acquire.source": "s3://packed/BraTS.zip"}))

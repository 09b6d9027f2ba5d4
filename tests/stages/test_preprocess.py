import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats_ml import config
from brats_ml.adapters.case_files.array_file import PreprocessedCase, read_case, read_shape, write_case
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.dataset import preprocessing
from brats_ml.errors import CaseError, MissingInputError
from brats_ml.files import digest_file, digest_tree, read_json, write_json
from brats_ml.imaging.geometry import uncrop
from brats_ml.stages import preprocess
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PreprocessedFolder

PARAMS = config.load(Path(__file__).parents[2] / "params.yaml")
SHAPE = (12, 10, 8)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
RAS = np.eye(4)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def image() -> np.ndarray:
    """Four modalities, non-zero in a box from (2, 3, 1) to (9, 8, 6); T2 has a voxel more at (10, 8, 6)."""
    image = np.zeros((4, *SHAPE), dtype=np.int16)
    image[:, 2:9, 3:8, 1:6] = np.random.default_rng(0).integers(1, 900, (4, 7, 5, 5))
    image[MODALITIES.index("t2"), 10, 8, 6] = 5
    return image


@pytest.fixture
def label() -> np.ndarray:
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[4:7, 4:7, 2:4] = 2
    label[5, 5, 2] = 4
    label[5, 6, 2] = 1
    return label


def add_case(
    ws: Workspace, case_id: str, image: np.ndarray, label: np.ndarray | None, *, affine: np.ndarray = LPS
) -> None:
    suffixes = dict(zip(MODALITIES, ("-t2f", "-t1n", "-t1c", "-t2w"), strict=True))
    new = case_id.startswith("BraTS-")
    volumes = {(suffixes[name] if new else f"_{name}"): image[index] for index, name in enumerate(MODALITIES)}
    if label is not None:
        volumes["-seg" if new else "_seg"] = label
    for suffix, volume in volumes.items():
        path = ws.raw.path / case_id / f"{case_id}{suffix}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(volume, affine), path)


def find(ws: Workspace) -> list[Case]:
    return find_cases(path.relative_to(ws.raw.path).as_posix() for path in ws.raw.path.rglob("*.nii.gz"))


def listed(ws: Workspace) -> None:
    cases = find(ws) if ws.raw.path.exists() else []
    records = [case.to_dict() | {"grid": {}, "digest": digest_tree(ws.raw.path / case.case_id)} for case in cases]
    write_json(ws.validation.manifest, {"cases": records})


def preprocessed(ws: Workspace) -> None:
    listed(ws)
    preprocess.run(ws, PARAMS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root outside a container can mount a small file system")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_case_is_cropped_to_every_voxel_that_any_modality_fills(
    ws: Workspace, image: np.ndarray, label: np.ndarray
) -> None:
    add_case(ws, "BraTS20_Training_001", image, label)

    preprocessed(ws)

    case = read_case(ws.preprocessed.case("BraTS20_Training_001"))
    assert (case.start, case.full_shape) == ((2, 3, 1), SHAPE)
    assert case.image.shape == (4, 9, 6, 6)
    assert case.image.dtype == np.int16
    np.testing.assert_array_equal(uncrop(case.image, case.start, case.full_shape), image)


def test_labels_of_both_schemes_become_canonical(ws: Workspace, image: np.ndarray, label: np.ndarray) -> None:
    add_case(ws, "BraTS20_Training_001", image, label)
    canonical = np.where(label == 4, 3, label).astype(np.uint8)
    add_case(ws, "BraTS-GLI-00001-000", image, canonical)

    preprocessed(ws)

    for case_id in ("BraTS20_Training_001", "BraTS-GLI-00001-000"):
        case = read_case(ws.preprocessed.case(case_id))
        assert case.label is not None
        np.testing.assert_array_equal(uncrop(case.label, case.start, case.full_shape), canonical)


def test_the_orientation_of_the_file_makes_no_difference(ws: Workspace, image: np.ndarray, label: np.ndarray) -> None:
    add_case(ws, "lps", image, label)
    add_case(ws, "ras", image[:, ::-1, ::-1], label[::-1, ::-1], affine=RAS)

    preprocessed(ws)

    assert digest_file(ws.preprocessed.case("lps").path) == digest_file(ws.preprocessed.case("ras").path)


def test_real_valued_intensities_are_kept_as_float32(ws: Workspace, image: np.ndarray) -> None:
    add_case(ws, "case", image.astype(np.float64) - 0.5 * (image > 0), None)

    preprocessed(ws)

    case = read_case(ws.preprocessed.case("case"))
    assert case.image.dtype == np.float32
    assert case.label is None


def test_negative_intensities_are_brain_too(ws: Workspace, image: np.ndarray) -> None:
    add_case(ws, "case", -image, None)

    preprocessed(ws)

    assert read_case(ws.preprocessed.case("case")).start == (2, 3, 1)


def test_tumour_outside_the_brain_is_not_cut_off(ws: Workspace, image: np.ndarray, label: np.ndarray) -> None:
    label[0, 0, 0] = 2
    add_case(ws, "case", image, label)

    preprocessed(ws)

    assert read_case(ws.preprocessed.case("case")).start == (0, 0, 0)


def test_the_index_names_patient_label_and_digest_of_every_case(
    ws: Workspace, image: np.ndarray, label: np.ndarray
) -> None:
    add_case(ws, "BraTS-GLI-00001-000", image, None)
    add_case(ws, "BraTS20_Training_001", image, label)

    preprocessed(ws)

    index = read_json(ws.preprocessed.index)
    assert index == {
        "BraTS-GLI-00001-000": {
            "patient": "BraTS-GLI-00001",
            "labelled": False,
            "digest": digest_file(ws.preprocessed.case("BraTS-GLI-00001-000").path),
        },
        "BraTS20_Training_001": {
            "patient": "BraTS20_Training_001",
            "labelled": True,
            "digest": digest_file(ws.preprocessed.case("BraTS20_Training_001").path),
        },
    }


def test_no_case_leaves_an_empty_index(ws: Workspace) -> None:
    preprocessed(ws)

    assert read_json(ws.preprocessed.index) == {}


def test_a_second_run_writes_the_same_bytes_and_forgets_cases_that_went(ws: Workspace, image: np.ndarray) -> None:
    add_case(ws, "stays", image, None)
    add_case(ws, "goes", image, None)
    preprocessed(ws)
    before = digest_file(ws.preprocessed.case("stays").path)
    for path in (ws.raw.path / "goes").iterdir():
        path.unlink()

    preprocessed(ws)

    assert {path.name for path in ws.preprocessed.path.iterdir()} == {"stays.npz", "index.json"}
    assert digest_file(ws.preprocessed.case("stays").path) == before


def test_a_damaged_volume_names_its_case_and_leaves_what_was_there(ws: Workspace, image: np.ndarray) -> None:
    add_case(ws, "case", image, None)
    preprocessed(ws)
    before = digest_file(ws.preprocessed.index.path)
    damaged = ws.raw.path / "case/case_t1.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:200])

    with pytest.raises(CaseError, match=r"case case: case_t1\.nii\.gz"):
        preprocessed(ws)

    assert digest_file(ws.preprocessed.index.path) == before
    assert [path.name for path in ws.preprocessed.path.parent.iterdir() if path.name.startswith(".")] == []


def test_one_more_case_makes_one_more_file_and_links_the_others(
    ws: Workspace, image: np.ndarray, label: np.ndarray
) -> None:
    add_case(ws, "BraTS20_Training_001", image, label)
    preprocessed(ws)
    made = {path.name: path.stat().st_ino for path in ws.state.array_files.path.iterdir()}
    add_case(ws, "BraTS20_Training_002", image + 1, label)

    preprocessed(ws)

    after = {path.name: path.stat().st_ino for path in ws.state.array_files.path.iterdir()}
    assert made.items() <= after.items()
    assert len(after) == len(made) + 2
    assert all(path.stat().st_ino in after.values() for path in ws.preprocessed.path.glob("*.npz"))


def test_a_case_of_the_decathlon_becomes_what_the_same_case_is_elsewhere(
    ws: Workspace, image: np.ndarray, label: np.ndarray
) -> None:
    """One 4-D file of FLAIR, T1, T1ce and T2, labels 1 oedema, 2 non-enhancing, 3 enhancing."""
    add_case(ws, "elsewhere", image, label)
    for folder, volume in (
        ("imagesTr", np.moveaxis(image, 0, -1)),
        ("labelsTr", np.array([0, 2, 1, 0, 3], dtype=np.uint8)[label]),
    ):
        (ws.raw.path / folder).mkdir()
        nib.save(nib.Nifti1Image(volume, LPS), ws.raw.path / folder / "BRATS_001.nii.gz")
    decathlon, elsewhere = find(ws)

    one, _ = preprocessing.preprocess_case(ws.raw.path, decathlon)
    other, _ = preprocessing.preprocess_case(ws.raw.path, elsewhere)

    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.label, other.label)


def test_a_disk_that_fills_up_is_one_sentence_and_leaves_what_was_there(
    ws: Workspace, image: np.ndarray, small_disk: Path
) -> None:
    """The state's disk holds the array file of one small case, and not that of a large one."""
    for name, voxels in (("small", image), ("large", np.random.default_rng(1).integers(1, 9, (4, 60, 60, 60)))):
        add_case(ws, name, voxels.astype(np.int16), None)
    shutil.copy(Path(__file__).parents[2] / "params.yaml", ws.params)
    large = (ws.raw.path / "large").rename(ws.root / "large")
    preprocessed(ws)
    before = digest_tree(ws.preprocessed.path)
    large.rename(ws.raw.path / "large")
    listed(ws)

    done = subprocess.run(
        [sys.executable, "-m", "brats_ml", "preprocess", "--root", ws.root],
        env=os.environ | {"BRATS_STATE": str(small_disk)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert re.search(r"^brats: no space is left.*: free some", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
    assert digest_tree(ws.preprocessed.path) == before
    files = [path.relative_to(small_disk) for path in small_disk.rglob("*") if path.is_file()]
    assert [path for path in files if any(part.startswith(".") for part in path.parts)] == []


def test_a_label_value_that_the_scheme_does_not_know_names_the_case(
    ws: Workspace, image: np.ndarray, label: np.ndarray
) -> None:
    label[4, 4, 3] = 3
    add_case(ws, "BraTS20_Training_001", image, label)

    with pytest.raises(CaseError, match="BraTS20_Training_001: label values 3 are not in scheme"):
        preprocessed(ws)


def test_modalities_of_different_shapes_name_the_case(ws: Workspace, image: np.ndarray) -> None:
    add_case(ws, "case", image, None)
    nib.save(nib.Nifti1Image(image[0, :-1], LPS), ws.raw.path / "case/case_t2.nii.gz")

    with pytest.raises(CaseError, match="case case"):
        preprocessing.preprocess_case(ws.raw.path, find(ws)[0])


def test_without_a_manifest_the_sentence_names_the_command(ws: Workspace) -> None:
    with pytest.raises(MissingInputError, match="brats validate"):
        preprocess.run(ws, PARAMS)


def test_a_real_case_keeps_every_voxel_that_the_dataset_documents(real_data: Path) -> None:
    """Counted on the published files of case 001: non-zero T1 in axial slices 22..121, labels in slice 73."""
    cohort = real_data / "MICCAI_BraTS2020_TrainingData"
    folder = cohort / "BraTS20_Training_001"
    (case,) = find_cases(path.relative_to(cohort).as_posix() for path in folder.iterdir())

    prepared, grid = preprocessing.preprocess_case(cohort, case)

    assert grid.axes == "LPS"
    assert prepared.label is not None
    image = uncrop(prepared.image, prepared.start, prepared.full_shape)
    label = uncrop(prepared.label, prepared.start, prepared.full_shape)
    assert np.count_nonzero(image[MODALITIES.index("t1"), :, :, 22:122]) == 1264556
    assert np.bincount(label[..., 73].ravel())[1:].tolist() == [287, 3843, 631]


def test_a_damaged_case_is_named_with_what_to_do(tmp_path: Path) -> None:
    case = PreprocessedFolder(tmp_path).case("BraTS20_Training_001")
    image = np.ones((4, 3, 3, 3), dtype=np.int16)
    write_case(case, PreprocessedCase(image=image, label=None, start=(0, 0, 0), full_shape=(3, 3, 3)))
    assert read_shape(case) == (3, 3, 3)
    whole = case.path.read_bytes()

    for kept in (0, 60, len(whole) // 2, len(whole) - 5):
        case.path.write_bytes(whole[:kept])
        for read in (read_case, read_shape):
            with pytest.raises(
                CaseError, match=r"case BraTS20_Training_001: .* is damaged .* run `brats preprocess` again"
            ):
                read(case)

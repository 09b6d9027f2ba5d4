"""Every kind of bad volume: the case is refused with one sentence that names the file, in validation and in scoring."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats_ml.adapters.folder_walk import walk
from brats_ml.cohort.cases import find_cases
from brats_ml.config import Params
from brats_ml.dataset.examination import case_problems
from brats_ml.errors import EmptyCohortError
from brats_ml.files import read_json
from brats_ml.stages import validate
from brats_ml.workspace import Workspace

SOUND = "BraTS20_Training_501"
BAD = "BraTS20_Training_502"
RADIOTHERAPY = "BraTS-MEN-RT-0001-1"
Spoil = Callable[[Path], None]


def file(folder: Path, role: str) -> Path:
    return folder / f"{folder.name}_{role}.nii.gz"


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], **affine: list[list[float]]) -> None:
    image = nib.load(path)
    array = change(np.asanyarray(image.dataobj))
    changed = nib.Nifti1Image(array, np.array(affine.get("affine", image.affine), dtype=float), dtype=array.dtype)
    for set_form in (changed.set_qform, changed.set_sform):
        set_form(changed.affine, code="scanner")
    nib.save(changed, path)


def array(role: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    return lambda folder: rewrite(file(folder, role), change)


def affine(role: str, matrix: list[list[float]]) -> Spoil:
    return lambda folder: rewrite(file(folder, role), lambda voxels: voxels, affine=matrix)


def contents(role: str, change: Callable[[bytes], bytes]) -> Spoil:
    return lambda folder: void(file(folder, role).write_bytes(change(file(folder, role).read_bytes())))


def void(_: object) -> None:
    return None


def header(role: str, **fields: object) -> Spoil:
    def spoil(folder: Path) -> None:
        inflated = bytearray(gzip.decompress(file(folder, role).read_bytes()))
        changed = nib.Nifti1Header(bytes(inflated[:348]), check=False)
        for field, value in fields.items():
            changed[field] = value
        inflated[:348] = changed.binaryblock
        file(folder, role).write_bytes(gzip.compress(bytes(inflated)))

    return spoil


def every(change: Callable[[np.ndarray], np.ndarray], matrix: list[list[float]] | None = None) -> Spoil:
    def spoil(folder: Path) -> None:
        for path in folder.iterdir():
            rewrite(path, change, **({} if matrix is None else {"affine": matrix}))

    return spoil


def holed(voxels: np.ndarray) -> np.ndarray:
    return np.where(voxels == 0, np.nan, voxels).astype(np.float32)


def endless(voxels: np.ndarray) -> np.ndarray:
    return np.where(voxels > 0, np.inf, voxels).astype(np.float32)


def turned(degrees: float) -> list[list[float]]:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return [[-cosine, -sine, 0, 0], [sine, -cosine, 0, 31], [0, 0, 1, 0], [0, 0, 0, 1]]


ANISOTROPIC = [[-1.0, 0, 0, 0], [0, -1, 0, 31], [0, 0, 3, 0], [0, 0, 0, 1]]
MIRRORED = [[1.0, 0, 0, 0], [0, -1, 0, 31], [0, 0, 1, 0], [0, 0, 0, 1]]


def exchanged(one: str, other: str) -> Spoil:
    def spoil(folder: Path) -> None:
        aside = file(folder, one).rename(folder.parent / "aside.nii.gz")
        file(folder, other).rename(file(folder, one))
        aside.rename(file(folder, other))

    return spoil


def replaced(role: str, other: str) -> Spoil:
    return lambda folder: void(shutil.copy(file(folder.parent / other, role), file(folder, role)))


FAULTS: dict[str, tuple[Spoil, str]] = {
    "truncated gzip": (contents("t1", lambda old: old[:5000]), "{t1} cannot be read: Compressed file ended"),
    "wrong checksum": (contents("t1", lambda old: old[:-8] + bytes(4) + old[-4:]), "{t1} cannot be read: CRC check"),
    "no NIfTI at all": (contents("t1", lambda old: b"\x89PNG" * 99), "{t1} cannot be read: it is not NIfTI"),
    "an empty file": (contents("t1", lambda old: b""), "{t1} cannot be read: it is not NIfTI"),
    "promised terabytes": (
        header("t1", dim=[3, 32767, 32767, 999, 1, 1, 1, 1]),
        "{t1} cannot be read: its header promises 2145.2 GB",
    ),
    "four axes": (array("t1", lambda old: old[..., None].repeat(2, 3)), "{t1} has 4 axes instead of 3"),
    "two axes": (array("t1", lambda old: old[..., 9]), "{t1} has 2 axes instead of 3"),
    "one slice less": (array("t1", lambda old: old[..., :-1]), "{t1} has 31 voxels along z, not 32 to 512"),
    "thick slices": (every(lambda old: old, ANISOTROPIC), "{flair} has voxels of 3 mm along z, not 0.99 to 1.01"),
    "an oblique scan": (every(lambda old: old, turned(20)), "{flair} is rotated by 20 degrees"),
    "singular affine": (header("t2", srow_z=[0, 0, 0, 0]), "{t2} cannot be read: its affine is singular"),
    "affine differing inside the case": (affine("t2", MIRRORED), "{t2} is on another grid than the other volumes"),
    "a label map moved by a voxel": (
        affine("seg", [[-1, 0, 0, 1], [0, -1, 0, 31], [0, 0, 1, 0], [0, 0, 0, 1]]),
        "{seg} is on another grid than the other volumes",
    ),
    "a header at odds with itself": (header("t2", srow_x=[1, 0, 0, 0]), "the qform, sform and voxel size of {t2}"),
    "NaN": (array("t1ce", holed), "{t1ce} has values that are not finite"),
    "infinity": (array("t1ce", endless), "{t1ce} has values that are not finite"),
    "all zero": (array("flair", np.zeros_like), "{flair} has 0.00% nonzero voxels"),
    "air that is not zero": (
        every(lambda old: np.where(old, old, np.random.default_rng(2).integers(1, 20, old.shape)).astype(old.dtype)),
        "{flair} has 100.00% nonzero voxels, not 1% to 80%",
    ),
    "constant": (array("flair", np.ones_like), "{flair} is no image: it has only 1 value(s)"),
    "a mask in place of an image": (
        array("t2", lambda old: (old > 0).astype(np.int16)),
        "{t2} is no image: it has only 1",
    ),
    "values beyond all scanners": (
        array("t1", lambda old: old.astype(np.float64) * 1e305),
        "{t1} has values up to",
    ),
    "half of the slices blanked": (
        array("t1", lambda old: np.where(np.arange(old.shape[2]) % 2, old, 0)),
        "{t1} covers other voxels than the other images",
    ),
    "noise in place of an image": (
        array("t2", lambda old: np.random.default_rng(1).integers(1, 900, old.shape, dtype=np.int16)),
        "{t2} covers other voxels than the other images",
    ),
    "voxel size not finite": (
        header("t2", pixdim=[1, np.nan, 1, 1, 0, 0, 0, 0]),
        "{t2} cannot be read: its voxel size",
    ),
    "a pipe in place of a file": (
        lambda folder: (file(folder, "t1").unlink(), os.mkfifo(file(folder, "t1"))),
        "{t1} cannot be read: it is not a regular file",
    ),
    "overflowed": (array("t2", lambda old: np.where(old > 300, -old, old)), "{t2} is negative in"),
    "labels of another release": (
        array("seg", lambda old: np.where(old == 4, 3, old).astype(np.uint8)),
        "{seg} has labels 0 1 2 3, but its release does not define 3",
    ),
    "labels that are no whole numbers": (
        array("seg", lambda old: old * np.float32(0.5)),
        "{seg} has labels 0 0.5 1 2, but its release does not define 0.5",
    ),
    "empty segmentation": (array("seg", np.zeros_like), "{seg} labels no voxel"),
    "segmentation outside the brain": (array("seg", lambda old: np.roll(old, 16, 2)), "{seg} has "),
    "a mirrored T1ce": (array("t1ce", lambda old: old[::-1]), "{t1ce} fits the other images better when it is flipped"),
    "a FLAIR upside down": (
        array("flair", lambda old: old[..., ::-1]),
        "{flair} fits the other images better when it is flipped",
    ),
    "a T2 rotated by half a turn": (
        array("t2", lambda old: old[::-1, ::-1]),
        "{t2} fits the other images better when it is flipped",
    ),
    "a mirrored segmentation": (array("seg", lambda old: old[::-1]), "{seg} fits the images better when it is flipped"),
    "the segmentation of another patient": (replaced("seg", "BraTS20_Training_504"), "{seg} labels what is hardly"),
    "T1 and T1ce exchanged": (exchanged("t1", "t1ce"), "{t1ce} has no brighter vessels than T1"),
    "FLAIR and T2 exchanged": (exchanged("flair", "t2"), "{t2} has darker fluid than FLAIR"),
    "T1 and T2 exchanged": (exchanged("t1", "t2"), "{t1} and T1ce, or FLAIR and T2, are less alike than other images"),
    "T1 exported twice": (
        lambda folder: rewrite(
            file(folder, "t1ce"), lambda _: distinct(nib.load(file(folder, "t1")).get_fdata().astype(np.int16) * 2, 7)
        ),
        "{t1ce} is almost the same image as another one of the case",
    ),
    "missing modality": (lambda folder: file(folder, "t1ce").unlink(), "{folder} has no t1ce"),
    "two files for one modality": (
        lambda folder: void(shutil.copy(file(folder, "t1"), folder / f"{folder.name}_t1.nii")),
        "t1 has 2 files, such as",
    ),
    "one file as two modalities": (
        lambda folder: void(shutil.copy(file(folder, "t1"), file(folder, "t2"))),
        "{t2} has exactly the same voxels as {t1}",
    ),
    "the same voxels on another grid": (
        lambda folder: nib.save(
            nib.Nifti1Image(nib.load(file(folder, "t1")).get_fdata()[::-1], None), file(folder, "t2")
        ),
        "{t2} is on another grid",
    ),
    "a folder in place of a file": (
        lambda folder: (
            file(folder, "t1ce").unlink(),
            file(folder, "t1ce").mkdir(),
            (file(folder, "t1ce") / "x").touch(),
        ),
        "{folder} has no t1ce",
    ),
    "a modality in no naming": (
        lambda folder: void(file(folder, "t1ce").rename(folder / f"{folder.name}_T1km.nii.gz")),
        "{folder} has no t1ce; if {folder}_T1km.nii.gz is that file, name it as its release does",
    ),
}


def sentence(pattern: str, case_id: str) -> str:
    names = {role: f"{case_id}_{role}.nii.gz" for role in ("flair", "t1", "t1ce", "t2", "seg")}
    return pattern.format(**names, folder=case_id)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_bad_volume_is_refused_with_a_sentence_that_names_it(kind: str, workspace: Workspace, params: Params) -> None:
    spoil, pattern = FAULTS[kind]
    spoil(workspace.raw.path / BAD)
    cases = find_cases(walk(workspace.raw.path))

    problems = {case.case_id: case_problems(workspace.raw.path, case, params.validate_) for case in cases}

    clauses = problems.pop(BAD)
    assert [clause for clause in clauses if clause.startswith(sentence(pattern, BAD))], clauses
    assert not any(problems.values())


def test_all_of_them_in_one_cohort_are_quarantined_each_with_its_reason_and_its_picture(
    workspace: Workspace, make_params: Callable[[dict[str, object]], Params]
) -> None:
    """Great Expectations finds what scoring finds; sound cases stay in."""
    expected = {}
    for number, (spoil, pattern) in enumerate(FAULTS.values(), start=600):
        case_id = f"BraTS20_Training_{number}"
        folder = workspace.raw.path / case_id
        shutil.copytree(workspace.raw.path / SOUND, folder)
        for path in folder.iterdir():
            # No copy of the sound case: one voxel of each image differs from case to case.
            rewrite(path.rename(folder / path.name.replace(SOUND, case_id)), lambda old, n=number: distinct(old, n))
        spoil(folder)
        expected[case_id] = sentence(pattern, case_id)

    report = validate.run(workspace, make_params({"validate.minimum_valid_share": 0.1}))

    quarantine = {entry["case_id"]: entry["reason"] for entry in read_json(workspace.validation.quarantine)}
    assert set(quarantine) == set(expected)
    assert {case_id: reason for case_id, reason in quarantine.items() if expected[case_id] not in reason} == {}
    assert str(report).startswith(f"validate: 6 of {6 + len(FAULTS)} cases valid, {len(FAULTS)} quarantined")
    page = workspace.validation.page.path
    text = page.read_text()
    assert f"{len(FAULTS)} of {6 + len(FAULTS)} cases were quarantined." in text
    assert all(f">{case_id}</h3>" in text for case_id in expected)
    pictures = set(re.findall(r'<img src="([^"]+)"', text))
    assert pictures == {path.relative_to(page.parent).as_posix() for path in page.parent.rglob("*.png")}
    assert {kind for kind, case_id in zip(FAULTS, expected, strict=True) if not _is_shown(text, case_id)} == NO_PLACE


def _is_shown(text: str, case_id: str) -> bool:
    """Return whether the part of a case on the page has a picture; without one it has words."""
    part = text.split(f">{case_id}</h3>")[1].split("</article>", maxsplit=1)[0]
    assert "<img" in part or "No picture: " in part
    return "<img" in part


# Defects that no slice shows.
NO_PLACE = {
    "truncated gzip",
    "wrong checksum",
    "no NIfTI at all",
    "an empty file",
    "promised terabytes",
    "four axes",
    "two axes",
    "an oblique scan",
    "singular affine",
    "affine differing inside the case",
    "a label map moved by a voxel",
    "a header at odds with itself",
    "voxel size not finite",
    "a pipe in place of a file",
    "empty segmentation",
    "missing modality",
    "two files for one modality",
    "a folder in place of a file",
    "a modality in no naming",
}


def test_the_picture_shows_the_slice_of_the_defect_and_says_which(workspace: Workspace, params: Params) -> None:
    def spoiled(old: np.ndarray) -> np.ndarray:
        wrong = old.astype(np.float32)
        wrong[8, 9, 3], wrong[10:13, 11, 21] = np.nan, np.nan
        return wrong

    array("t1ce", spoiled)(workspace.raw.path / BAD)

    validate.run(workspace, params)

    text = workspace.validation.page.path.read_text()
    assert "t1ce, axial slice k = 21 of 0 to 31. Red: the values that are not finite, 3 in this slice and 4 " in text
    assert f'alt="t1ce of {BAD}, axial slice k = 21"' in text


def distinct(voxels: np.ndarray, number: int) -> np.ndarray:
    """Return another examination of the same head: an image with other noise, a label map as it is."""
    if voxels.max() <= 4:
        return voxels
    noise = np.random.default_rng(number).integers(0, 9, voxels.shape, dtype=voxels.dtype)
    return np.where(voxels > 0, voxels + noise, voxels)


def test_a_case_with_a_fourth_axis_of_one_voxel_is_valid(workspace: Workspace, params: Params) -> None:
    every(lambda old: old[..., None])(workspace.raw.path / BAD)

    validate.run(workspace, params)

    assert read_json(workspace.validation.quarantine) == []
    grids = {case["case_id"]: case["grid"] for case in read_json(workspace.validation.manifest)["cases"]}
    assert [grids[BAD][part] for part in ("shape", "affine")] == [grids[SOUND][part] for part in ("shape", "affine")]


def test_a_file_that_may_not_be_read_is_named(workspace: Workspace) -> None:
    """In a process of another user where the tests run as root, in a folder that this user may enter."""
    path = file(workspace.raw.path / BAD, "t1")
    path.chmod(0)
    program = (
        "import os, sys; from pathlib import Path; from brats_ml.adapters.nifti.volume import read_volume\n"
        "from brats_ml.errors import StorageError\n"
        "os.chdir(sys.argv[1])\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "read_volume(Path(sys.argv[2]))\n"
        "try: read_volume(Path(sys.argv[3]))\n"
        "except StorageError as error: print(error)"
    )
    readable = file(workspace.raw.path / BAD, "t2").name

    said = subprocess.run(
        [sys.executable, "-c", program, path.parent, readable, path.name], capture_output=True, text=True, check=False
    )

    assert said.stdout.startswith(f"{path.name} cannot be read: Permission denied; check the disk and the permissions")


def test_copies_under_unrelated_names_are_quarantined_and_the_labelled_one_stays(
    workspace: Workspace, params: Params
) -> None:
    folder = workspace.raw.path / "unrelated"
    shutil.copytree(workspace.raw.path / SOUND, folder)
    for path in folder.iterdir():
        copy = path.rename(folder / path.name.replace(SOUND, "unrelated"))
        rewrite(copy, lambda old: old[::-1].astype(np.float32))
    file(folder, "seg").unlink()

    validate.run(workspace, params)

    (entry,) = read_json(workspace.validation.quarantine)
    assert entry["case_id"] == "unrelated"
    assert (
        f"unrelated_flair.nii.gz has exactly the same voxels as {SOUND}_flair.nii.gz of case {SOUND}" in entry["reason"]
    )
    records = {case["case_id"]: case for case in read_json(workspace.validation.manifest)["cases"]}
    assert "unrelated" in {records[SOUND]["patient"], *records[SOUND]["aliases"]}


def test_a_cohort_with_too_few_valid_cases_stops_the_run_and_leaves_the_report(
    workspace: Workspace, make_params: Callable[[dict[str, object]], Params]
) -> None:
    file(workspace.raw.path / BAD, "t1ce").unlink()

    with pytest.raises(ValueError, match=r"5 of 6 cases are valid, less than validate.minimum_valid_share 0.9; see "):
        validate.run(workspace, make_params({"validate.minimum_valid_share": 0.9}))

    assert read_json(workspace.validation.verdict)["verdict"] == "stop"
    assert len(read_json(workspace.validation.quarantine)) == 1


def test_a_rule_that_the_parameters_make_critical_stops_the_run(
    workspace: Workspace, make_params: Callable[[dict[str, object]], Params]
) -> None:
    array("seg", np.zeros_like)(workspace.raw.path / BAD)

    with pytest.raises(ValueError, match=rf"critical rule tumour_voxels: {BAD}: {BAD}_seg.nii.gz labels no voxel"):
        validate.run(workspace, make_params({"validate.severity": {"tumour_voxels": "critical"}}))


def test_what_is_only_noted_stays_in_and_is_counted(
    workspace: Workspace, make_params: Callable[[dict[str, object]], Params]
) -> None:
    array("seg", np.zeros_like)(workspace.raw.path / BAD)

    report = validate.run(workspace, make_params({"validate.severity": {"tumour_voxels": "info"}}))

    assert str(report) == "validate: 6 of 6 cases valid, 1 minor finding(s) (see data/validation/index.html)"
    (rule,) = [rule for rule in read_json(workspace.validation.verdict)["rules"] if rule["broken_by"]]
    assert (rule["rule"], rule["severity"]) == ("tumour_voxels", "info")


def test_other_series_and_strangers_are_refused_by_name(workspace: Workspace, params: Params) -> None:
    for name in (f"{RADIOTHERAPY}/{RADIOTHERAPY}-t1n.nii.gz", "hearts/imagesTr/la_003.nii.gz"):
        path = workspace.raw.path / name
        path.parent.mkdir(parents=True)
        shutil.copy(file(workspace.raw.path / SOUND, "t1"), path)

    validate.run(workspace, params)

    assert read_json(workspace.validation.quarantine) == [
        {
            "case_id": RADIOTHERAPY,
            "reason": f"{RADIOTHERAPY} belongs to series MEN-RT, which has one modality and shows the whole head; only "
            "GLI, SSA, GoAT, MEN, MET, PED are read",
        },
        {
            "case_id": "unnamed hearts%2FimagesTr",
            "reason": "hearts/imagesTr has 1 volume(s) with names of no BraTS release, such as la_003.nii.gz; "
            "rename or remove them, or describe their names in acquire.naming (docs/how-to/real-data.md)",
        },
    ]


def test_a_cohort_that_is_quarantined_whole_is_refused_and_says_why(
    workspace: Workspace, make_params: Callable[[dict[str, object]], Params]
) -> None:
    with pytest.raises(
        EmptyCohortError, match=f"all 6 cases are quarantined, such as {SOUND}: {SOUND}_flair.nii.gz has"
    ):
        validate.run(workspace, make_params({"validate.minimum_size": 64}))

    assert len(read_json(workspace.validation.quarantine)) == 6

"""`brats measure`: which files belong together, what it writes and prints, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nibabel.affines import from_matvec

from brats_ml.actions.measure import check_output, means, measure, write
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.cli.overview import measure as command
from brats_ml.errors import BratsError, ConfigError, MissingInputError, SourceError
from brats_ml.imaging.metrics.challenges import CHALLENGES
from brats_ml.imaging.metrics.rulers import RULERS, case_rulers

SHAPE = (12, 10, 8)
SPACING_MM = (1.0, 1.0, 2.0)


def write_labels(path: Path, labels: np.ndarray, *, origin: float = 0.0) -> None:
    grid = VoxelGrid(labels.shape, from_matvec(np.diag(SPACING_MM), np.full(3, origin)))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, labels.astype(np.uint8), grid)


def tumour(*, first: int = 2, enhancing: int = 3) -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[first : first + 7, 2:8, 1:7] = 2
    labels[first + 1 : first + 5, 3:7, 2:6] = enhancing
    return labels


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of predictions and of references, without files."""
    found = tmp_path / "predictions", tmp_path / "references"
    for folder in found:
        folder.mkdir()
    return found


def test_every_kind_of_name_finds_its_reference(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    names = {"BraTS-GLI-00001-000": "", "BraTS-GLI-00002-000": "-labels", "BraTS-GLI-00003-000": "-seg"}
    for case_id, suffix in names.items():
        write_labels(predictions / case_id / f"{case_id}{suffix}.nii.gz", tumour(first=3))
        write_labels(references / case_id / f"{case_id}-seg.nii.gz", tumour())
        write_labels(references / case_id / f"{case_id}-t1n.nii.gz", tumour())
        write_labels(predictions / case_id / f"{case_id}-probabilities.nii.gz", tumour())
    write_labels(references / "BraTS-GLI-00004-000-seg.nii.gz", tumour())

    found = measure(predictions, references)

    assert found.table["case_id"].tolist() == sorted(names)
    assert found.unpredicted == ["BraTS-GLI-00004-000"]
    assert found.challenge == "GLI"


def test_the_values_are_those_of_the_arrays_by_the_rules_and_labels_of_the_series(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    write_labels(predictions / "BraTS-SSA-00001-000.nii.gz", tumour(first=3))
    write_labels(references / "BraTS-SSA-00001-000-seg.nii.gz", tumour())

    found = measure(predictions, references)

    regions = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,), "NETC": (1,)}
    rules = CHALLENGES["SSA"]
    expected = case_rulers(tumour(), tumour(first=3), challenge=rules, regions=regions, spacing_mm=SPACING_MM)
    assert found.challenge == "SSA"
    assert means(found) == expected


def test_old_label_values_follow_from_the_names_and_a_cavity_from_the_scheme(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    write_labels(predictions / "BraTS20_Training_001.nii.gz", tumour(first=3, enhancing=4))
    write_labels(references / "BraTS20_Training_001_seg.nii.gz", tumour(enhancing=4))

    old = means(measure(predictions, references))
    treated = means(measure(predictions, references, scheme="brats2024"))

    assert 0 < old["dice_ET"] < 1
    assert "dice_RC" not in old
    assert (treated["dice_ET"], treated["dice_RC"]) == (1.0, old["dice_ET"])


def test_a_case_after_treatment_may_have_a_cavity(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    write_labels(predictions / "BraTS-GLI-02062-101.nii.gz", tumour(first=3, enhancing=4))
    write_labels(references / "BraTS-GLI-02062-101-seg.nii.gz", tumour(enhancing=4))

    found = means(measure(predictions, references))

    assert 0 < found["dice_2024_RC"] < 1


def test_the_command_prints_each_ruler_and_writes_a_row_per_case(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, references = folders
    for number in (1, 2):
        write_labels(predictions / f"BraTS-GLI-0000{number}-000.nii.gz", tumour(first=2 + number))
        write_labels(references / f"BraTS-GLI-0000{number}-000-seg.nii.gz", tumour())
    output = tmp_path / "rulers.csv"

    command(predictions, references, challenge=None, scheme=None, output=output, as_json=False)
    printed = capsys.readouterr().out
    command(predictions, references, challenge=None, scheme=None, output=None, as_json=True)
    figures = json.loads(capsys.readouterr().out)

    table = pd.read_csv(output)
    assert "2 case(s) by the rules of GLI" in printed
    assert all(f"\n{ruler.name} " in printed for ruler in RULERS)
    assert max(map(len, printed.splitlines())) <= 80
    assert table["case_id"].tolist() == ["BraTS-GLI-00001-000", "BraTS-GLI-00002-000"]
    assert figures["cases"] == 2
    assert figures["mean"]["dice_2023_WT"] == pytest.approx(table["dice_2023_WT"].mean())
    with pytest.raises(ConfigError, match=r"rulers\.csv exists already"):
        check_output(output)


CASE = "BraTS-GLI-00001-000"


def wrong_labels(what: str) -> np.ndarray:
    """Return a prediction with one mistake in its voxels, or none."""
    labels = tumour()
    if what == "shape":
        return labels[:-1]
    if what == "axes":
        return np.stack([labels] * 2, axis=-1)
    labels[0, 0, 0] = {"label": 7, "cavity": 4}.get(what, 0)
    return labels


def wrong(folders: tuple[Path, Path], what: str) -> dict[str, str]:
    """Make folders with one mistake, and return the options to measure them with."""
    predictions, references = folders
    write_labels(predictions / f"{CASE}.nii.gz", wrong_labels(what), origin=3.0 * (what == "place"))
    write_labels(references / f"{CASE}-seg.nii.gz", tumour())
    more = {
        "reference": {predictions: ["BraTS-GLI-00002-000"]},
        "two": {predictions: [f"more/{CASE}"]},
        "series": {predictions: ["BraTS-MET-00002-000"], references: ["BraTS-MET-00002-000-seg"]},
        "unnamed": {predictions: ["anna"], references: ["anna"]},
        "treated": {predictions: ["BraTS-GLI-00001-101"], references: ["BraTS-GLI-00001-101-seg"]},
        "children": {predictions: ["BraTS-PED-00001-000"], references: ["BraTS-PED-00001-000-seg"]},
    }
    for folder, names in more.get(what, {}).items():
        for name in names:
            write_labels(folder / f"{name}.nii.gz", tumour())
    if what == "file":
        (predictions / f"{CASE}.nii.gz").write_bytes(b"no volume")
    options = {"challenge": {"challenge": "GLX"}, "scheme": {"scheme": "brats2042"}, "gtv": {"challenge": "MEN-RT"}}
    return options.get(what, {})


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("shape", r"has 11 x 10 x 8 voxels, and its reference 12 x 10 x 8"),
        ("place", r"is up to 5\.20 mm away from its reference"),
        ("label", r"label values 7 are not in scheme brats2023"),
        ("cavity", r"label values 4 are not in scheme brats2023 .*--scheme"),
        ("axes", r"is no label map, because it has four axes"),
        ("reference", r"has no label map of BraTS-GLI-00002-000"),
        ("two", r"has two label maps of BraTS-GLI-00001-000"),
        ("series", r"GLI, MET, which have rules of their own"),
        ("unnamed", r"anna\.nii\.gz has a name of no release: state its label values with --scheme"),
        ("treated", r"labels of brats2023, and BraTS-GLI-00001-101 those of brats2024"),
        ("children", r"has labels that changed in 2024: state its label values with --scheme"),
        ("file", r"BraTS-GLI-00001-000\.nii\.gz: .*replace the file"),
        ("challenge", r"GLX.*did you mean GLI"),
        ("scheme", r"brats2042.*did you mean brats2024"),
        ("gtv", r"the rules of MEN-RT score GTV"),
    ],
)
def test_a_mistake_ends_in_one_sentence(folders: tuple[Path, Path], what: str, sentence: str) -> None:
    options = wrong(folders, what)

    with pytest.raises(BratsError, match=sentence) as caught:
        measure(*folders, **options)

    assert isinstance(caught.value, SourceError | ConfigError)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_missing_or_has_no_label_map_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    with pytest.raises(MissingInputError, match="name a folder of label maps"):
        measure(tmp_path / "nowhere", references)
    with pytest.raises(SourceError, match="has no label map"):
        measure(predictions, references)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is no folder"):
        measure(tmp_path / "file", references)
    with pytest.raises(ConfigError, match="is no folder"):
        check_output(tmp_path / "nowhere/rulers.csv")


def test_without_an_output_nothing_is_written(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    write_labels(predictions / f"{CASE}.nii.gz", tumour())
    write_labels(references / f"{CASE}-seg.nii.gz", tumour())
    before = sorted(tmp_path.rglob("*"))

    write(measure(predictions, references), None)

    assert sorted(tmp_path.rglob("*")) == before

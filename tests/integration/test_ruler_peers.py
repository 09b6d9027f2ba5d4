"""Every ruler on real masks of three releases equals brats-evaluation and the steps of the scripts of 2023 and 2024."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _ruler_peers
from benchmarks._frame import peer_python
from benchmarks._masks import likely_prediction, shifted
from brats_ml.actions.measure import measure_pair
from brats_ml.actions.measured_pairs import find_pairs
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.imaging.metrics.components import region_box
from tests.integration.test_metrics_peers import CASES, read_references

# The scripts add 1e-8 to a denominator of 2 in the surface Dice; the rest is rounding.
TOLERANCE = 6e-9
# Thick slices too: there, tools disagree on the order of the axes.
SPACINGS_MM = [(1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.9375, 0.9375, 3.0)]


@pytest.fixture(scope="module")
def folder(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps with a made cavity, and predictions of them, cut to the tumours."""
    home = tmp_path_factory.mktemp("rulers")
    for side in ("references", "predictions"):
        (home / side).mkdir()
    for number, (case_id, labels) in enumerate(read_references(real_data, CASES).items()):
        reference = np.where((labels == 1) & (np.arange(labels.shape[2]) % 16 < 8), 4, labels).astype(np.uint8)
        predicted = likely_prediction(reference, seed=number, blobs=8) if number else shifted(reference, (2, -1, 1))
        box = region_box(reference, predicted, margin=6)
        for side, volume in (("references", reference), ("predictions", predicted)):
            cut = np.ascontiguousarray(volume[box])
            write_volume(home / side / f"{case_id}.nii.gz", cut, VoxelGrid(cut.shape, affine(SPACINGS_MM[number])))
    return home


def affine(spacing_mm: tuple[float, ...]) -> np.ndarray:
    return np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("peer", list(_ruler_peers.REQUIREMENTS))
def test_rulers_equal_their_tools_on_real_masks(peer: str, folder: Path) -> None:
    python = peer_python(peer, _ruler_peers.REQUIREMENTS[peer])
    command = [str(python), _ruler_peers.__file__, peer, "GLI", "-", str(folder)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=550).stdout
    pairs = find_pairs(folder / "predictions", folder / "references", challenge="GLI", scheme="brats2024").pairs

    for pair in pairs:
        ours = measure_pair(pair, "GLI")
        for region, values in json.loads(printed)[pair.case_id]["values"].items():
            for ruler, value in values.items():
                assert ours[f"{ruler}_{region}"] == pytest.approx(value, abs=TOLERANCE), (pair.case_id, region, ruler)

"""Predict one case like `brats score`, and print the time and the peak memory.

Arguments: the folder of the model, the folder of cases, the case, the output file, the preset, the runtime, the
precision and the folder of graphs.
"""

import sys
from pathlib import Path

from _spent import now, print_spent

from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.labels import SCHEMES
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.imaging.geometry import uncrop
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.workspace.outputs import ModelFolder
from brats_ml.workspace.state import GraphCache


def main(*arguments: str) -> None:
    model, cases, name, out, preset, runtime, precision, graphs = arguments
    segment = load_segmentation_model(
        ModelFolder(Path(model)),
        preset=preset,
        runtime=runtime,
        precision=precision,
        graphs=GraphCache(Path(graphs)),
    )
    loaded = now()
    (case,) = (case for case in find_cases(walk(Path(cases))) if case.case_id == name)
    prepared, grid = preprocess_case(Path(cases), case)
    labels, _ = segment(uncrop(prepared.image, prepared.start, prepared.full_shape))
    write_volume(Path(out), grid.to_stored(SCHEMES[case.scheme].from_canonical(labels)), grid)
    print_spent(loaded)


main(*sys.argv[1:])

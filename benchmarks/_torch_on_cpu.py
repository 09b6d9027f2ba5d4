"""Region recipes with a twin in PyTorch that trains on the same processor, and the operations that a step takes."""

import json
from pathlib import Path

from _frame import peer_python
from _peer_process import Peer
from _plans import planned
from _rates import step_flops

from brats_ml.cohort.labels import REGIONS
from brats_ml.segmentation.inference.presets import TYPICAL_BRAIN
from brats_ml.segmentation.networks.region_unet import region_unet

TORCH = ["torch==2.13.0", "numpy==2.4.1"]
# The recipes, in the order of their figures, and the ways to run a twin.
TWINS, KINDS = ("regions2d", "regions3d"), ("torch eager", "torch compiled")


def torch_twin(name: str, steps: int, *, compiled: bool) -> Peer:
    """Return the network and step of a region recipe in PyTorch, on random cases of the typical size."""
    recipe = planned(name)
    slices = 2 * recipe.neighbours + 1
    net = {key: getattr(recipe, key) for key in ("patch", "batch", "filters", "stem")}
    net |= {"slices": slices, "channels": recipe.channels // slices, "shape": TYPICAL_BRAIN}
    net |= {"compile": compiled, "float32": True, "wait": True}
    command = [peer_python("torch", TORCH), Path(__file__).with_name("_torch_twin.py"), json.dumps(net)]
    return Peer(command, samples=recipe.batch or 1, steps=steps)


def flops_per_sample(name: str) -> float:
    """Return the operations of a training step of a region recipe for one patch."""
    recipe = planned(name)
    network = region_unet(
        dimensions=recipe.dimensions,
        channels=recipe.channels,
        regions=len(REGIONS),
        filters=recipe.filters,
        stem=recipe.stem,
        seed=0,
        extent=recipe.patch,
    )
    return step_flops(network)

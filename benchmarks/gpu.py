"""How fast the recipes' networks train on one accelerator, and how much of it they use.

    KERAS_BACKEND=jax python benchmarks/gpu.py --cases data/preprocessed

It needs this checkout, Keras with TensorFlow or JAX, and nothing else; PyTorch is measured where it is installed.
Cases are the `.npz` files that `brats preprocess` writes (`image` (modality, X, Y, Z) and `label` (X, Y, Z)); without a
folder they are random, which is as fast. Training is the engine's own: bfloat16, compiled by XLA, the cases on the
device, patches cut and augmented in the compiled step; no average of the weights is kept. `--tiny`, which is how
it runs where there is no accelerator, shrinks all of it for a trial.

For each network: samples (patches or slices) a second; achieved TFLOP/s, counted from the layers as two operations a
multiplication and addition of every convolution, three times that for a training step (forward, and backward to inputs
and to weights), everything else left out; `of_matrix_rate`, their share of what a large bfloat16 matrix product
reaches in the same process; and `vs_torch`, samples a second over those of the same network in PyTorch (bfloat16 by
autocast, channels last, random cases on the device, the same loss and AdamW, but no augmentation; `--compile-torch`
compiles it). The network `baseline` has no twin in PyTorch. 3D convolutions are computed as 2D ones, as in training on
GPUs; `--plain` leaves them to Keras.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# PyTorch's child and this process share the device.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import keras
import numpy as np
from keras import ops

from brats_ml.cohort.labels import CLASSES, LABELS, REGIONS
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.intensity import normalise
from brats_ml.segmentation.networks.baseline_unet import unet
from brats_ml.segmentation.networks.region_unet import region_unet
from brats_ml.segmentation.training import regions
from brats_ml.segmentation.training.patches import ResidentSet, TrainingSet
from brats_ml.segmentation.training.sampling import draw_patches, foreground
from brats_ml.segmentation.training.step import PatchTraining

TRAINING_PASSES = 3
AUGMENTATION = {"rotate_degrees": 0.0, "zoom": 0.0, "spatial_share": 0.0, "scale": 0.25, "shift": 0.25, "gamma": 0.35}
# Extent of a random case, at full size and tiny.
HEAD = ((140, 176, 148), (24, 26, 20))
DEEP = (32, 64, 128, 256, 320, 320)
# Each modality, and the same of the other side of the brain.
CHANNELS = 2 * len(MODALITIES)


@dataclass(frozen=True)
class Network:
    """What is trained: `slices` of a 2D patch are its channels; the baseline's patch is a slice, its batch a case."""

    name: str
    patch: tuple[int, ...]
    batch: int
    filters: tuple[int, ...]
    stem: int = 1
    slices: int = 1

    @property
    def dimensions(self) -> int:
        """Axes in space that it convolves over."""
        return len(self.patch)

    @property
    def slab(self) -> tuple[int, ...]:
        """The patch as it is cut from a case."""
        return self.patch if self.dimensions == 3 else (*self.patch, self.slices)


NETWORKS = {
    network.name: network
    for network in (
        Network("regions3d", (128, 128, 128), 2, DEEP),
        Network("regions3d_cpu_preset", (64, 64, 64), 2, (32, 64, 96, 128), stem=2),
        Network("regions2d", (192, 160), 64, DEEP, slices=3),
        Network("baseline", (128, 128), 100, (32, 64, 128, 256, 512)),
    )
}


def main() -> None:
    options, devices = parsed(), keras.distribution.list_devices()
    if all(device.startswith("cpu") for device in devices) and not options.tiny:
        print("There is no accelerator: this is a trial of tiny networks, and no figure of it tells anything.")
        options.tiny = True
    chosen = [tiny(NETWORKS[name]) if options.tiny else NETWORKS[name] for name in options.networks]
    has_torch = importlib.util.find_spec("torch") is not None
    twins = {net.name: torch_twin(net, options) for net in chosen if has_torch and net.name != "baseline"}
    cases = read_cases(options.cases) if options.cases else random_cases(tiny=options.tiny)
    matrix = matrix_rate(256 if options.tiny else 8192)
    rows = []
    for net in chosen:
        keras.utils.clear_session()
        train, network = (
            baseline_training(net) if net.name == "baseline" else region_training(net, cases, sliced=not options.plain)
        )
        flops = TRAINING_PASSES * forward_flops(network)
        rate = samples_per_second(train, net.batch, options.seconds)
        row = {"network": net.name, "samples_per_second": rate, "gflop_per_sample": flops / 1e9}
        row |= {"tflops": rate * flops / 1e12, "of_matrix_rate": rate * flops / matrix}
        if net.name in twins:
            row |= {"torch_samples_per_second": twins[net.name], "vs_torch": rate / twins[net.name]}
        rows.append(row)
        print("  ".join(f"{key} {value:.4g}" if isinstance(value, float) else value for key, value in row.items()))
    figures = {f"{row['network']}_{key}": value for row in rows for key, value in row.items() if key != "network"}
    where = {"backend": keras.backend.backend(), "device": ", ".join(devices), "tiny": options.tiny}
    print(json.dumps(where | {"matrix_tflops": matrix / 1e12} | figures))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, help="folder of .npz files; random arrays without it")
    parser.add_argument("--seconds", type=float, default=20.0, help="of training for each network")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--compile-torch", action="store_true", help="measure PyTorch with torch.compile")
    parser.add_argument("--plain", action="store_true", help="3D convolutions as Keras computes them, not as 2D ones")
    parser.add_argument("--tiny", action="store_true", help="small networks, for a trial on a CPU")
    return parser.parse_args()


def tiny(net: Network) -> Network:
    return replace(net, patch=(16,) * net.dimensions, batch=2, filters=(4, 8), stem=net.stem)


def read_cases(folder: Path) -> TrainingSet:
    """Read every labelled case as the recipes do, but for the smoothing of what is mirrored, which costs no time."""
    images, labels = [], []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            if "label" in stored:
                image = normalise(stored["image"])
                both_sides = np.concatenate([image, image[:, ::-1]])
                images.append(np.moveaxis(both_sides, 0, -1).astype(np.float16))
                labels.append(stored["label"])
    if not images:
        raise SystemExit(f"{folder} has no .npz file with a label; give the folder that `brats preprocess` writes")
    return TrainingSet(images, labels)


def random_cases(*, tiny: bool) -> TrainingSet:
    """Draw four cases of the extent of a head, each with a box of every label."""
    rng = np.random.default_rng(0)
    shape = HEAD[tiny]
    images = [rng.standard_normal((*shape, CHANNELS), dtype=np.float32).astype(np.float16) for _ in range(4)]
    labels = np.zeros(shape, dtype=np.uint8)
    for value in LABELS.values():
        labels[tuple(slice(size * value // 5, size * value // 5 + size // 3) for size in shape)] = value
    return TrainingSet(images, [labels] * 4)


def region_training(net: Network, cases: TrainingSet, *, sliced: bool) -> tuple[Callable[[int], object], keras.Model]:
    """Return what trains a region network for so many steps, and the network."""
    network = region_unet(
        dimensions=net.dimensions,
        channels=CHANNELS * net.slices,
        regions=len(REGIONS),
        filters=net.filters,
        stem=net.stem,
        seed=0,
        dtype="mixed_bfloat16",
        extent=net.patch,
        sliced=sliced and net.dimensions == 3,
    )
    model = PatchTraining(
        network,
        dimensions=net.dimensions,
        modalities=len(MODALITIES),
        augmentation=AUGMENTATION | {"flip": list(range(net.dimensions)), "noise": 0.15},
        batch_dice=True,
        seed=0,
        resident=ResidentSet(cases, net.slab),
    )
    regions.compile_regions(
        model,
        steps=100_000,
        learning_rate=1e-3,
        weight_decay=1e-2,
        clip_norm=1.0,
        shape="polynomial",
        power=0.9,
        warm_up_steps=20,
        ema=None,
        xla=True,
    )
    tumours = [foreground(labels, seed=0) for labels in cases.labels]

    def place(step: int) -> dict[str, np.ndarray]:
        drawn = draw_patches(tumours, patch=net.slab, batch=net.batch, share=0.5, seed=0, step=step)
        return {"case": drawn.case, "corner": drawn.corner, "draws": drawn.draws}

    return lambda steps: model.fit(regions.Batches(place, 0, steps), shuffle=False, verbose=0), network


class BaselineTraining(keras.Model):
    """The baseline's U-Net on a batch of consecutive slices that lie on the device; its input is the first of them."""

    def __init__(self, network: keras.Model, net: Network) -> None:
        super().__init__()
        self.network, self._net = network, net
        rng = np.random.default_rng(0)
        count, size = 2 * net.batch, net.patch[0]
        classes = np.eye(CLASSES, dtype=np.float32)
        self._inputs = self._kept("inputs", rng.random((count, size, size, 2), dtype=np.float32))
        self._targets = self._kept("targets", classes[rng.integers(len(classes), size=(count, size, size))])

    def _kept(self, name: str, values: np.ndarray) -> keras.Variable:
        kept = self.add_weight(shape=values.shape, name=name, trainable=False, initializer="zeros", dtype="float32")
        kept.assign(values)
        return kept

    def call(self, first: object, training: bool = False) -> object:
        """Return probabilities and targets of the slices from `first` on."""
        start = ops.concatenate([first[0], ops.zeros((3,), dtype="int32")])
        inputs, targets = (
            ops.slice(ops.convert_to_tensor(kept), start, (self._net.batch, *kept.shape[1:]))
            for kept in (self._inputs, self._targets)
        )
        return {"predicted": self.network(inputs, training=training), "targets": targets}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the cross-entropy of predictions, which carry their targets."""
        predicted = ops.cast(y_pred["predicted"], "float32")
        return ops.mean(ops.categorical_crossentropy(y_pred["targets"], predicted))


def baseline_training(net: Network) -> tuple[Callable[[int], object], keras.Model]:
    """Return what trains the baseline's network for so many steps, and the network."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = unet(size=net.patch[0], channels=2, classes=CLASSES, filters=net.filters, dropout=0.2, seed=0)
    keras.config.set_dtype_policy(before)
    model = BaselineTraining(network, net)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=True)

    def first(step: int) -> np.ndarray:
        return np.array([[step % net.batch]], dtype=np.int32)

    return lambda steps: model.fit(regions.Batches(first, 0, steps), shuffle=False, verbose=0), network


def forward_flops(network: keras.Model) -> float:
    """Return the operations of one sample's forward pass: two a multiplication and addition of every convolution."""
    total = 0
    for layer in network.layers:
        if not hasattr(layer, "kernel_size"):
            continue
        # A kernel is applied once for each voxel that it makes, a transposed one once for each that it reads.
        is_transposed = "Transpose" in type(layer).__name__
        places = layer.input.shape[1:-1] if is_transposed else layer.output.shape[1:-1]
        total += 2 * math.prod(layer.kernel.shape) * math.prod(places)
    return float(total)


def samples_per_second(train: Callable[[int], object], batch: int, wanted: float) -> float:
    train(2)  # compiles
    steps = max(3, round(wanted * 3 / seconds(lambda: train(3))))
    return steps * batch / seconds(lambda: train(steps))


def matrix_rate(size: int, repeats: int = 50) -> float:
    """Return the operations a second of bfloat16 products of square matrices, the best of five."""
    one = ops.cast(keras.random.normal((size, size), seed=0) / math.sqrt(size), "bfloat16")

    def products(matrix: object) -> object:
        return ops.sum(ops.cast(ops.fori_loop(0, repeats, lambda _, x: ops.matmul(x, matrix), matrix), "float32"))

    if keras.backend.backend() == "jax":
        import jax  # only one of the backends is there

        compiled = jax.jit(products)
    else:
        import tensorflow as tf

        compiled = tf.function(products, jit_compile=True)
    spent = [seconds(lambda: float(compiled(one))) for _ in range(6)]
    return 2 * size**3 * repeats / min(spent[1:])


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def torch_twin(net: Network, options: argparse.Namespace) -> float:
    """Return samples a second in PyTorch, in a process of its own, so that the two share no memory of the device."""
    more = {"shape": HEAD[options.tiny], "channels": CHANNELS}
    more |= {"seconds": options.seconds, "compile": options.compile_torch}
    command = [sys.executable, Path(__file__).with_name("_torch_twin.py"), json.dumps(asdict(net) | more)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


if __name__ == "__main__":
    main()

"""Measure the speed of training on one accelerator, and the share of the accelerator that it uses.

    KERAS_BACKEND=jax python benchmarks/gpu.py --cases data/preprocessed

The script needs this checkout and Keras with TensorFlow or JAX. It also measures PyTorch if it is installed. Cases are
`.npz` files by `brats preprocess` with `image` (modality, X, Y, Z) and `label` (X, Y, Z). Without a folder the cases
are random, which is just as fast.

Training is the same as in the pipeline: bfloat16, compiled with XLA, cases on the device, patches cut and augmented in
the compiled step; but there is no moving average of the weights. `--tiny` shrinks everything for a trial, and is the
default without an accelerator.

The figures of each network:

- `samples_per_second`: patches or slices per second.
- `tflops`: achieved TFLOP/s, counted from the convolutions only. A multiplication with its addition counts as two
  operations, and a training step as three forward passes (forward, backward to the inputs, backward to the weights).
- `of_matrix_rate`: the share of the rate that a large bfloat16 matrix product reaches in the same process.
- `vs_torch`: samples per second divided by those of the same network in PyTorch (bfloat16 with autocast, channels last,
  random cases on the device, the same loss and AdamW, no augmentation; `--compile-torch` compiles it). The network
  `baseline` has no version in PyTorch.

3D convolutions are computed as 2D ones, as in training on GPUs; with `--plain` Keras computes them.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# The child process with PyTorch shares the device with this process.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import keras
import numpy as np
from _rates import convolution_flops, matrix_products
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
# Shape of a random case, at full size and tiny.
HEAD = ((140, 176, 148), (24, 26, 20))
DEEP = (32, 64, 128, 256, 320, 320)
# Each modality, and the same mirrored to the other side of the brain.
CHANNELS = 2 * len(MODALITIES)


@dataclass(frozen=True)
class Network:
    """A network to train; `slices` of a 2D patch are channels. A patch of `baseline` is a slice, a batch is a case."""

    name: str
    patch: tuple[int, ...]
    batch: int
    filters: tuple[int, ...]
    stem: int = 1
    slices: int = 1

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return len(self.patch)

    @property
    def slab(self) -> tuple[int, ...]:
        """Shape of a patch in a case."""
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
        print("There is no accelerator: this trial of tiny networks gives no useful figures.")
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
        flops = TRAINING_PASSES * sum(convolution_flops(network))
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
    parser.add_argument("--cases", type=Path, help="folder of .npz files; by default random arrays")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of training per network")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--compile-torch", action="store_true", help="measure PyTorch with torch.compile")
    parser.add_argument("--plain", action="store_true", help="let Keras compute 3D convolutions, not as 2D ones")
    parser.add_argument("--tiny", action="store_true", help="small networks, for a trial on a CPU")
    return parser.parse_args()


def tiny(net: Network) -> Network:
    return replace(net, patch=(16,) * net.dimensions, batch=2, filters=(4, 8), stem=net.stem)


def read_cases(folder: Path) -> TrainingSet:
    """Read every labelled case like the recipes, but without smoothing the mirrored half, which takes no time."""
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
    """Return four random cases with the shape of a head, each with a box of every label."""
    rng = np.random.default_rng(0)
    shape = HEAD[tiny]
    images = [rng.standard_normal((*shape, CHANNELS), dtype=np.float32).astype(np.float16) for _ in range(4)]
    labels = np.zeros(shape, dtype=np.uint8)
    for value in LABELS.values():
        labels[tuple(slice(size * value // 5, size * value // 5 + size // 3) for size in shape)] = value
    return TrainingSet(images, [labels] * 4)


def region_training(net: Network, cases: TrainingSet, *, sliced: bool) -> tuple[Callable[[int], object], keras.Model]:
    """Return a function that trains a region network for a number of steps, and the network."""
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
        augmentation=AUGMENTATION | {"flip": list(range(net.dimensions)), "noise": 0.15, "drop_modalities": 0.0},
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
    """Trains the baseline's U-Net on consecutive slices on the device. The input is the index of the first slice."""

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
        """Return the probabilities and the targets of a batch of slices from `first`."""
        start = ops.concatenate([first[0], ops.zeros((3,), dtype="int32")])
        inputs, targets = (
            ops.slice(ops.convert_to_tensor(kept), start, (self._net.batch, *kept.shape[1:]))
            for kept in (self._inputs, self._targets)
        )
        return {"predicted": self.network(inputs, training=training), "targets": targets}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the cross-entropy. The predictions contain their targets."""
        predicted = ops.cast(y_pred["predicted"], "float32")
        return ops.mean(ops.categorical_crossentropy(y_pred["targets"], predicted))


def baseline_training(net: Network) -> tuple[Callable[[int], object], keras.Model]:
    """Return a function that trains the network of the baseline for a number of steps, and the network."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = unet(size=net.patch[0], channels=2, classes=CLASSES, filters=net.filters, dropout=0.2, seed=0)
    keras.config.set_dtype_policy(before)
    model = BaselineTraining(network, net)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=True)

    def first(step: int) -> np.ndarray:
        return np.array([[step % net.batch]], dtype=np.int32)

    return lambda steps: model.fit(regions.Batches(first, 0, steps), shuffle=False, verbose=0), network


def samples_per_second(train: Callable[[int], object], batch: int, wanted: float) -> float:
    train(2)  # compiles
    steps = max(3, round(wanted * 3 / seconds(lambda: train(3))))
    return steps * batch / seconds(lambda: train(steps))


def matrix_rate(size: int) -> float:
    """Return the operations per second of bfloat16 products of square matrices, the best of five."""
    rate = matrix_products(size, dtype="bfloat16", repeats=50, xla=True)
    return max(rate() for _ in range(5))


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def torch_twin(net: Network, options: argparse.Namespace) -> float:
    """Return the samples per second in PyTorch. A separate process frees the memory of the device afterwards."""
    settings = {"shape": HEAD[options.tiny], "channels": CHANNELS}
    settings |= {"seconds": options.seconds, "compile": options.compile_torch}
    command = [sys.executable, Path(__file__).with_name("_torch_twin.py"), json.dumps(asdict(net) | settings)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


if __name__ == "__main__":
    main()

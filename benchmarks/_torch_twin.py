"""The network of `region_unet` and its training step in PyTorch.

`gpu.py` and `training.py` start this script with a JSON object as argument. The script prints the samples
per second; with `wait`, it reads numbers of steps and prints the seconds of each training.
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from brats_ml.cohort.labels import LABELS, REGIONS
from brats_ml.segmentation.training.sampling import draw_patches, foreground

CASES = 4


class RegionUnet(nn.Module):
    """A U-Net: two units per level, strided and transposed convolutions between levels, one logit per region."""

    def __init__(self, dimensions, channels, filters, stem):
        super().__init__()
        flat = dimensions == 2
        convolution = nn.Conv2d if flat else nn.Conv3d
        transposed = nn.ConvTranspose2d if flat else nn.ConvTranspose3d
        norm = nn.InstanceNorm2d if flat else nn.InstanceNorm3d

        def unit(given, width, kernel=3, stride=1):
            made = convolution(given, width, kernel, stride, (kernel - stride + 1) // 2, bias=False)
            return nn.Sequential(made, norm(width, affine=True), nn.LeakyReLU(0.01))

        firsts = [unit(channels, filters[0], 3 * stem, stem), *(unit(*pair, stride=2) for pair in pairwise(filters))]
        self.down = nn.ModuleList(
            nn.Sequential(first, unit(width, width)) for first, width in zip(firsts, filters, strict=True)
        )
        self.size = nn.ModuleList(transposed(below, width, 2, 2) for width, below in pairwise(filters))
        self.up = nn.ModuleList(nn.Sequential(unit(2 * width, width), unit(width, width)) for width in filters[:-1])
        self.logits = transposed(filters[0], len(REGIONS), stem, stem)

    def forward(self, x):
        """Return logits (batch, region, X, Y[, Z]) of patches (batch, channel, X, Y[, Z])."""
        skips = []
        for level in self.down:
            x = level(x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([skips[level], self.size[level](x)], dim=1))
        return self.logits(x)


class Patches:
    """Patches of random cases on the device, at the same positions as ours."""

    def __init__(self, net, on, layout):
        self._net, self._layout = net, layout
        self._flat = len(net["patch"]) == 2
        self._slab = (*net["patch"], net["slices"]) if self._flat else tuple(net["patch"])
        shape = np.maximum(net["shape"], self._slab)
        labels = np.zeros(shape, dtype=np.uint8)
        for value in LABELS.values():
            labels[tuple(slice(size * value // 5, size * value // 5 + size // 3) for size in shape)] = value
        self._tumours = [foreground(labels, seed=0)] * CASES
        self._images = torch.randn(CASES, *shape, net["channels"], device=on, dtype=torch.float16)
        self._labels = torch.tensor(np.stack([labels] * CASES), device=on)

    def batch(self, step):
        drawn = draw_patches(self._tumours, patch=self._slab, batch=self._net["batch"], share=0.5, seed=0, step=step)
        boxes = [
            (int(case), *(slice(int(at), int(at) + size) for at, size in zip(corner, self._slab, strict=True)))
            for case, corner in zip(drawn.case, drawn.corner, strict=True)
        ]
        image = torch.stack([self._images[box] for box in boxes])
        found = torch.stack([self._labels[box] for box in boxes])
        if self._flat:
            image, found = image.flatten(3), found[..., self._net["slices"] // 2]
        targets = torch.stack([found > 0, (found == 1) | (found == 3), found == 3], dim=1)
        return image.movedim(-1, 1).float().contiguous(memory_format=self._layout), targets.float()


def loss_of(logits, targets):
    dims = (0, *range(2, logits.ndim))
    found = torch.sigmoid(logits)
    dice = (2 * (targets * found).sum(dims) + 1) / (targets.sum(dims) + found.sum(dims) + 1)
    return 1 - dice.mean() + nn.functional.binary_cross_entropy_with_logits(logits, targets)


def main():
    net = json.loads(sys.argv[1])
    torch.manual_seed(0)
    on = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    dimensions = len(net["patch"])
    layout = torch.channels_last if dimensions == 2 else torch.channels_last_3d
    model = RegionUnet(dimensions, net["channels"] * net["slices"], net["filters"], net["stem"])
    model = model.to(on, memory_format=layout)
    network = torch.compile(model) if net["compile"] else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    patches = Patches(net, on, layout)

    def train(steps):
        begun = time.perf_counter()
        for step in range(steps):
            image, targets = patches.batch(step)
            with torch.autocast(on.type, dtype=torch.bfloat16, enabled=not net.get("float32", False)):
                logits = network(image)
            loss = loss_of(logits.float(), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device
        return time.perf_counter() - begun

    if net.get("wait", False):
        for line in sys.stdin:
            print(train(int(line)), flush=True)
        return
    train(3)  # compiles, and chooses algorithms
    steps = max(3, round(net["seconds"] * 3 / train(3)))
    print(steps * net["batch"] / train(steps))


if __name__ == "__main__":
    main()

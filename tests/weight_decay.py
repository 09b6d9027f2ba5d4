"""Print the share that is left of each weight after a step of AdamW with gradients of 0, which changes decay only.

Tests run this program as a process of its own for the backends that are not installed next to TensorFlow.
"""

import json

RATE, DECAY = 0.1, 0.5


def shares_left(*, fused: bool = False) -> dict[str, float]:
    """Return the mean share left of each weight of a small network, by the path of the weight."""
    import numpy as np
    from keras import ops

    from brats_ml.segmentation.networks.region_unet import region_unet
    from brats_ml.segmentation.training.regions import compile_regions
    from brats_ml.segmentation.training.step import PatchTraining

    network = region_unet(dimensions=2, channels=2, regions=3, filters=(4, 8), stem=1, seed=0, fused=fused)
    network.set_weights([np.full(weight.shape, 2.0) for weight in network.weights])
    model = PatchTraining(network, dimensions=2, modalities=2, augmentation={}, batch_dice=True, seed=0)
    compile_regions(
        model, steps=100, learning_rate=RATE, weight_decay=DECAY, clip_norm=1.0, shape="polynomial", power=0.9,
        warm_up_steps=0, ema=None, xla=False,
    )  # fmt: skip
    model.optimizer.apply([ops.zeros(weight.shape) for weight in network.weights], network.trainable_variables)
    return {weight.path: float(ops.mean(weight)) / 2.0 for weight in network.weights}


if __name__ == "__main__":
    print(json.dumps(shares_left()))

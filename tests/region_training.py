"""Train a small region network with any backend and number of devices.

Tests run this program as a process of its own. It prints one JSON object with the digest of the weights and the
history.
"""

import argparse
import json
import os
from hashlib import sha256

AUGMENTATION = {
    "flip": [0, 1, 2],
    "rotate_degrees": 20.0,
    "zoom": 0.1,
    "spatial_share": 0.5,
    "scale": 0.2,
    "shift": 0.2,
    "gamma": 0.3,
    "noise": 0.1,
    "drop_modalities": 0.5,
}


def devices(count: int) -> None:
    """Declare `count` logical CPU devices. Call this before the backend starts."""
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--stop-at", type=int, nargs="*", default=[])
    parser.add_argument("--resident", action="store_true")
    options = parser.parse_args()
    devices(options.devices)

    import keras
    import numpy as np

    from brats_ml.segmentation.devices import across, chosen_devices
    from brats_ml.segmentation.networks.region_unet import region_unet
    from brats_ml.segmentation.training import regions
    from brats_ml.segmentation.training.determinism import prepare
    from brats_ml.segmentation.training.patches import ResidentSet, TrainingSet, cut
    from brats_ml.segmentation.training.sampling import draw_patches, foreground
    from brats_ml.segmentation.training.step import PatchTraining

    rng = np.random.default_rng(0)
    labels = [np.zeros((20, 18, 16), dtype=np.uint8) for _ in range(2)]
    for each in labels:
        each[4:12, 4:12, 4:12] = rng.integers(1, 4, size=(8, 8, 8))
    images = [(each[..., None] + rng.normal(size=(*each.shape, 2)) + 2).astype(np.float16) for each in labels]
    cases = TrainingSet(images, labels)
    found = [foreground(each, seed=0) for each in labels]

    fused = keras.backend.backend() == "tensorflow"

    def batch(step: int) -> dict[str, np.ndarray]:
        patches = draw_patches(found, patch=(16, 16, 16), batch=2, share=0.5, seed=5, step=step)
        flip = AUGMENTATION["flip"]
        return vars(patches) if options.resident else cut(cases, patches, patch=(16, 16, 16), flip=flip)

    def train(progress: regions.Progress, stop_at: int | None) -> regions.Progress | tuple[str, list[regions.Row]]:
        kept: list[regions.Progress] = []
        prepare(seed=0, deterministic=True)
        with across(chosen_devices("cpu" if options.devices == 1 else "auto", options.devices)):
            network = region_unet(dimensions=3, channels=2, regions=3, filters=[4, 8], stem=1, seed=0, fused=fused)
            resident = ResidentSet(cases, (16, 16, 16)) if options.resident else None
            model = PatchTraining(
                network,
                dimensions=3,
                modalities=2,
                augmentation=AUGMENTATION,
                batch_dice=True,
                seed=1,
                resident=resident,
                fused=fused,
            )
            regions.compile_regions(
                model, steps=12, learning_rate=5e-3, weight_decay=1e-2, clip_norm=1.0, shape="polynomial", power=0.9,
                warm_up_steps=2, ema=0.5, xla=False,
            )  # fmt: skip
            try:
                rows = regions.fit(
                    model, training=batch, validation=[batch(1000)] if not options.resident else [], steps=12,
                    epoch_steps=5, progress=progress, keep=kept.append, keep_seconds=3600,
                    after_epoch=lambda model, rows: None,
                    stop=lambda: stop_at is not None and progress.step >= stop_at,
                )  # fmt: skip
            except regions.StopTraining:
                return kept[-1]
            last = [np.array(weight) for weight in model.network.get_weights()]
            weights = regions.averaged(model).get_weights()
            assert any((one != other).any() for one, other in zip(last, weights, strict=True))
        return sha256(b"".join(np.ascontiguousarray(weight).tobytes() for weight in weights)).hexdigest(), rows

    progress = regions.Progress()
    for stop_at in options.stop_at:
        progress = train(progress, stop_at)
        assert isinstance(progress, regions.Progress)
        assert progress.step == stop_at
        keras.backend.clear_session()
    weights, rows = train(progress, None)
    print(json.dumps({"backend": keras.backend.backend(), "weights": weights, "history": rows}, sort_keys=True))


if __name__ == "__main__":
    main()

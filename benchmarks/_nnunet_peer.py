"""Train nnU-Net v2 on cases by `brats preprocess` and predict the unseen cases.

`nnunet.py` starts this script with a JSON object as argument, in an environment with nnU-Net and without our package.
nnU-Net uses its own plan, augmentation, loss and optimizer. Only the length of the schedule differs: the learning rate
falls with the share of the minutes that have passed, and there is no validation during training. The time starts after
the first step, which compiles.

For each configuration the script writes the labels of the unseen cases to `<home>/<configuration>/<case>.npy`. Its last
line is a JSON object with the steps, the seconds of training and the seconds per case.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

DATASET = "Dataset001_BraTS"
MODALITIES = ("flair", "t1", "t1ce", "t2")
# Regions WT, TC and ET of the labels 1 NCR, 2 ED and 3 ET; the regions are painted in this order as ED, NCR and ET.
REGIONS = {"background": 0, "WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
PAINTED = [2, 1, 3]


def main():
    job = json.loads(sys.argv[1])
    home = Path(job["home"])
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(home / name)
    if job["do"] == "prepare":
        prepare(job, home / "raw" / DATASET)
    else:
        found = {name: train_and_predict(job, home, name) for name in job["configurations"]}
        print(json.dumps(found))


def prepare(job, raw):
    """Write the training cases in the format of nnU-Net, plan, and preprocess."""
    import nibabel  # only this environment has it
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True, exist_ok=True)
    for case in job["train"]:
        image, label, _ = whole(Path(job["cases"]) / f"{case}.npz")
        for channel, volume in enumerate(image):
            nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), raw / f"imagesTr/{case}_{channel:04d}.nii")
        nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), raw / f"labelsTr/{case}.nii")
    described = {
        "channel_names": {str(at): name for at, name in enumerate(MODALITIES)},
        "labels": REGIONS,
        "regions_class_order": PAINTED,
        "numTraining": len(job["train"]),
        "file_ending": ".nii",
        "overwrite_image_reader_writer": "NibabelIO",
    }
    (raw / "dataset.json").write_text(json.dumps(described))
    count = len(job["configurations"])
    extract_fingerprints([1], num_processes=job["processes"], check_dataset_integrity=False)
    plan_experiments([1])
    preprocess([1], configurations=tuple(job["configurations"]), num_processes=[job["processes"]] * count)


def whole(path):
    """Return the uncropped image (modality, X, Y, Z), the uncropped label (X, Y, Z), and the box of the brain.

    nnU-Net normalises within the brain only if much of the volume is empty, so it must not get crops.
    """
    with np.load(path) as stored:
        box = tuple(slice(at, at + size) for at, size in zip(stored["start"], stored["label"].shape, strict=True))
        image = np.zeros((len(MODALITIES), *stored["full_shape"]), dtype=np.int16)
        label = np.zeros(stored["full_shape"], dtype=np.uint8)
        image[:, *box], label[box] = stored["image"], stored["label"]
    return image, label, box


def train_and_predict(job, home, configuration):
    import torch  # only this environment has it

    trainer = trained(job, home, configuration, torch.device(job["device"]))
    predict = predictor(trainer)
    folder = home / configuration
    folder.mkdir(exist_ok=True)
    spent = []
    for case in job["unseen"]:
        image, _, box = whole(Path(job["cases"]) / f"{case}.npz")
        image = image.transpose(0, 3, 2, 1).astype(np.float32)  # the axis order of nnU-Net
        begun = time.perf_counter()
        labels = predict.predict_single_npy_array(image, {"spacing": [1.0, 1.0, 1.0]})
        spent.append(time.perf_counter() - begun)
        np.save(folder / f"{case}.npy", labels.transpose()[box].astype(np.uint8))
    # The first case includes one-time preparation.
    return {
        "steps": trainer.steps,
        "training_seconds": trainer.training_seconds,
        "seconds_a_case": float(np.mean(spent[1:])),
        "patch": list(trainer.configuration_manager.patch_size),
        "batch": trainer.configuration_manager.batch_size,
    }


def trained(job, home, configuration, device):
    """Return the trainer of nnU-Net after the given minutes."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    base = home / "preprocessed" / DATASET
    plans = json.loads((base / "nnUNetPlans.json").read_text()) | {"continue_training": False}
    trainer = nnUNetTrainer(plans, configuration, "all", json.loads((base / "dataset.json").read_text()), device)
    trainer.on_train_start()
    trainer.network.train()
    float(trainer.train_step(next(trainer.dataloader_train))["loss"])
    budget, trainer.steps, begun = 60 * job["minutes"], 0, time.monotonic()
    while (share := (time.monotonic() - begun) / budget) < 1:
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - share) ** 0.9
        trainer.train_step(next(trainer.dataloader_train))
        trainer.steps += 1
    trainer.training_seconds = time.monotonic() - begun
    for loader in (trainer.dataloader_train, trainer.dataloader_val):
        if hasattr(loader, "_finish"):
            loader._finish()
    return trainer


def predictor(trainer):
    """Return nnU-Net's default predictor: a sliding window with mirrored copies."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    made = nnUNetPredictor(device=trainer.device, verbose=False, allow_tqdm=False)
    made.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [getattr(trainer.network, "_orig_mod", trainer.network).state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    return made


if __name__ == "__main__":
    main()

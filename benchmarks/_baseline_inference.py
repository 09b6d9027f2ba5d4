"""Predict one case like the notebook of the baseline, and print the time and the peak memory.

Arguments: a model file, the files of FLAIR and T1ce, and the output file. This script runs in a separate environment.
It needs only keras, tensorflow, nibabel and opencv.
"""

import sys

import cv2
import keras
import nibabel as nib
import numpy as np
from _spent import now, print_spent

SIZE, FIRST, COUNT = 128, 22, 100


def main(model_file: str, flair_file: str, t1ce_file: str, out: str) -> None:
    model = keras.models.load_model(model_file)
    loaded = now()
    image = nib.load(flair_file)
    flair, t1ce = image.get_fdata(), nib.load(t1ce_file).get_fdata()
    batch = np.empty((COUNT, SIZE, SIZE, 2))
    for j in range(COUNT):
        batch[j, :, :, 0] = cv2.resize(flair[:, :, j + FIRST], (SIZE, SIZE))
        batch[j, :, :, 1] = cv2.resize(t1ce[:, :, j + FIRST], (SIZE, SIZE))
    probabilities = model.predict(batch / np.max(batch), verbose=0)
    labels = np.zeros(flair.shape, dtype=np.uint8)
    for j in range(COUNT):
        native = [cv2.resize(plane, flair.shape[1::-1]) for plane in np.moveaxis(probabilities[j], -1, 0)]
        labels[:, :, j + FIRST] = np.argmax(native, axis=0)
    labels[labels == 3] = 4
    nib.save(nib.Nifti1Image(labels, image.affine), out)
    print_spent(loaded)


main(*sys.argv[1:])

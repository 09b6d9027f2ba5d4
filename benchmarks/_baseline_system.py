"""The input path and the training step of the baseline, reimplemented from its notebook, slice by slice.

Usage: `python _baseline_system.py CASES SLICES`, in a separate environment. CASES is a JSON file with the paths of
`flair`, `t1ce` and `seg` of each case. Each line of standard input is a number of cases. The script trains on that many
and prints the seconds.
"""

import json
import sys
import time
from pathlib import Path

import cv2
import keras
import nibabel as nib
import numpy as np
import tensorflow as tf
from keras import layers

SIZE, START_AT, CLASSES, NATIVE = 128, 22, 4, 240
FILTERS = (32, 64, 128, 256, 512)


class Volumes(keras.utils.PyDataset):
    """Batches of one case each, read from its files and resized slice by slice in Python."""

    def __init__(self, cases, slices):
        super().__init__()
        self.cases, self.slices = cases, slices

    def __len__(self):
        return len(self.cases)

    def __getitem__(self, index):
        case = self.cases[index]
        inputs = np.zeros((self.slices, SIZE, SIZE, 2))
        labels = np.zeros((self.slices, NATIVE, NATIVE))
        flair, t1ce, seg = (nib.load(case[role]).get_fdata() for role in ("flair", "t1ce", "seg"))
        for place in range(self.slices):
            inputs[place, :, :, 0] = cv2.resize(flair[:, :, place + START_AT], (SIZE, SIZE))
            inputs[place, :, :, 1] = cv2.resize(t1ce[:, :, place + START_AT], (SIZE, SIZE))
            labels[place] = seg[:, :, place + START_AT]
        labels[labels == 4] = 3
        one_hot = tf.one_hot(labels.astype(np.uint8), CLASSES)
        return inputs / np.max(inputs), tf.image.resize(one_hot, (SIZE, SIZE))


def network():
    def convolution(x, width, kernel=3):
        return layers.Conv2D(width, kernel, activation="relu", padding="same", kernel_initializer="he_normal")(x)

    inputs = keras.Input((SIZE, SIZE, 2))
    x, skips = inputs, []
    for width in FILTERS[:-1]:
        x = convolution(convolution(x, width), width)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.2)(convolution(convolution(x, FILTERS[-1]), FILTERS[-1]))
    for width, skip in zip(FILTERS[-2::-1], reversed(skips), strict=True):
        x = layers.Concatenate()([skip, convolution(layers.UpSampling2D(2)(x), width, 2)])
        x = convolution(convolution(x, width), width)
    return keras.Model(inputs, layers.Conv2D(CLASSES, 1, activation="softmax")(x))


def dice_coef(target, predicted):
    scores = []
    for index in range(CLASSES):
        one, other = tf.reshape(target[..., index], [-1]), tf.reshape(predicted[..., index], [-1])
        scores.append((2.0 * tf.reduce_sum(one * other) + 1.0) / (tf.reduce_sum(one) + tf.reduce_sum(other) + 1.0))
    return tf.add_n(scores) / CLASSES


def label_dice(index, name):
    def dice(target, predicted):
        one, other = target[..., index], predicted[..., index]
        squares = tf.reduce_sum(tf.square(one)) + tf.reduce_sum(tf.square(other))
        return 2.0 * tf.reduce_sum(tf.abs(one * other)) / (squares + 1e-6)

    dice.__name__ = name
    return dice


def rounded(values):
    return tf.reduce_sum(tf.round(tf.clip_by_value(values, 0, 1)))


def precision(target, predicted):
    return rounded(target * predicted) / (rounded(predicted) + 1e-7)


def sensitivity(target, predicted):
    return rounded(target * predicted) / (rounded(target) + 1e-7)


def specificity(target, predicted):
    return rounded((1 - target) * (1 - predicted)) / (rounded(1 - target) + 1e-7)


def main():
    cases, slices = json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2])
    model = network()
    labels = [label_dice(index, name) for index, name in ((1, "necrotic"), (2, "edema"), (3, "enhancing"))]
    metrics = ["accuracy", keras.metrics.MeanIoU(num_classes=CLASSES), dice_coef, precision, sensitivity, specificity]
    optimizer = keras.optimizers.Adam(learning_rate=0.001)
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=[*metrics, *labels])
    for line in sys.stdin:
        steps = int(line)
        chosen = [cases[step % len(cases)] for step in range(steps)]
        begun = time.perf_counter()
        model.fit(Volumes(chosen, slices), verbose=0)
        print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    main()

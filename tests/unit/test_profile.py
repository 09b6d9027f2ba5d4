import numpy as np
import pytest

from brats_ml.cohort.labels import SCHEMES
from brats_ml.imaging.quality.profile import (
    COLUMNS,
    agreement,
    brain_of,
    outside_brain_share,
    profile_image,
    profile_label_map,
)

SCHEME = SCHEMES["brats2017-2021"]


def image() -> np.ndarray:
    volume = np.zeros((4, 5, 6), dtype=np.int16)
    volume[1, 2, 3:5] = [10, -2]
    return volume


def test_the_profile_of_an_image_holds_its_statistics() -> None:
    measured = profile_image(image())

    assert measured.pop("voxel_digest") == profile_image(image().astype(np.float32)[::-1])["voxel_digest"]
    assert measured == {
        "finite": True,
        "brain_share": round(2 / 120, 6),
        "negative_share": round(1 / 120, 6),
        "minimum": -2,
        "maximum": 10,
        "mean": round(8 / 120, 6),
        "p1": -2,
        "p50": -2,
        "p99": 10,
        "levels": 2,
    }


def test_labels_are_listed_in_order_counted_and_compared_with_the_scheme_of_their_release() -> None:
    volume = np.array([[[4.0, 0, 1, 4]]], dtype=np.float32)

    known = profile_label_map(volume, SCHEME)
    foreign = profile_label_map(volume, SCHEMES["brats2023"])

    assert (known["labels"], known["foreign_labels"]) == ("0 1 4", "")
    assert [known[f"voxels_{label}"] for label in ("NCR", "ED", "ET")] == [1, 0, 2]
    assert known["tumour_voxels"] == 3
    assert (foreign["labels"], foreign["foreign_labels"]) == ("0 1 4", "4")


def test_labels_of_the_decathlon_are_counted_by_their_meaning() -> None:
    measured = profile_label_map(np.array([[[1, 1, 1, 2, 3, 3]]], dtype=np.uint8), SCHEMES["msd-task01"])

    assert [measured[f"voxels_{label}"] for label in ("NCR", "ED", "ET")] == [1, 3, 2]


def test_fractional_labels_are_foreign() -> None:
    assert profile_label_map(np.array([[[0, 0.5, 1]]]), SCHEME)["foreign_labels"] == "0.5"


def test_values_that_are_not_finite_are_found_and_do_not_count_for_the_range() -> None:
    volume = image().astype(np.float32)
    volume[0, 0, 0] = np.nan

    measured = profile_image(volume)

    assert measured["finite"] is False
    assert (measured["minimum"], measured["maximum"]) == (-2, 10)


@pytest.mark.parametrize("order", ["C", "F"])
def test_labels_where_most_images_are_0_are_outside_the_brain(order: str) -> None:
    labels = np.zeros((4, 5, 6), dtype=np.uint8, order=order)
    labels[1, 2, 2:5] = 1
    images = {"flair": image(), "t1": image(), "t1ce": image(), "t2": np.ones_like(image())}

    masks = brain_of(images)

    assert outside_brain_share(labels, masks["brain"]) == round(1 / 3, 6)
    assert outside_brain_share(np.zeros_like(labels), masks["brain"]) is None
    assert [agreement(masks[role], masks["brain"]) for role in images] == [1, 1, 1, round(2 * 2 / (120 + 2), 6)]


def test_the_agreement_of_two_empty_masks_is_unknown() -> None:
    masks = brain_of({"t1": np.zeros((2, 2, 2))})

    assert agreement(masks["t1"], masks["brain"]) is None


def test_labels_that_are_off_by_rounding_count_as_whole_and_others_do_not() -> None:
    moved = np.array([[[0, 1.00002, 1.9999, 4]]], dtype=np.float32)

    assert profile_label_map(moved, SCHEME)["labels"] == "0 1 2 4"
    assert SCHEME.to_canonical(moved).ravel().tolist() == [0, 1, 2, 3]
    assert profile_label_map(moved + np.float32(0.01), SCHEME)["foreign_labels"].startswith("0.00999999978 1.01")


def test_the_mean_is_unknown_if_the_sum_overflows() -> None:
    measured = profile_image(np.full((4, 4, 4), 1e308))

    assert (measured["mean"], measured["maximum"]) == (None, 1e308)


def test_every_measurement_has_a_column() -> None:
    assert set(profile_image(image())) | set(profile_label_map(image(), SCHEME)) <= set(COLUMNS)

"""A plan fits in memory, its patch can be halved at every level, and it keeps the sizes that the user gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.segmentation.training.planning import plan

GIB = 2**30


@given(
    crop=st.tuples(*[st.integers(32, 240)] * 3),
    dimensions=st.sampled_from([2, 3]),
    stem=st.sampled_from([1, 2]),
    memory=st.integers(2, 80),
    most_voxels=st.sampled_from([None, 270_000]),
)
def test_a_planned_patch_fits_in_memory_and_can_be_halved_at_every_level(
    crop: tuple[int, int, int], dimensions: int, stem: int, memory: int, most_voxels: int | None
) -> None:
    made = plan(
        crop, dimensions=dimensions, stem=stem, memory_bytes=memory * GIB, most_voxels=most_voxels, precision="float32"
    )

    assert len(made.patch) == dimensions
    assert all(size % (stem * 2 ** (len(made.filters) - 1)) == 0 for size in made.patch)
    assert made.step_bytes <= memory * GIB
    if most_voxels is not None:
        assert made.batch * np.prod(made.patch) <= most_voxels


def test_a_plan_keeps_the_sizes_that_the_user_gives() -> None:
    made = plan(
        (140, 170, 140), dimensions=3, stem=2, memory_bytes=GIB, most_voxels=270_000, precision="float32",
        patch=[48, 64, 80], batch=5, filters=[8, 16, 24],
    )  # fmt: skip

    assert (made.patch, made.batch, made.filters) == ((48, 64, 80), 5, (8, 16, 24))


def test_more_memory_never_gives_a_smaller_patch() -> None:
    sizes = [
        np.prod(plan((140, 170, 140), dimensions=3, stem=1, memory_bytes=gib * GIB, most_voxels=None,
                     precision="bfloat16").patch)
        for gib in (2, 4, 8, 16, 32, 64)
    ]  # fmt: skip

    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize(("precision", "batch"), [("float32", 1), ("bfloat16", 2)])
def test_a_real_head_gets_one_cube_of_64_per_step_on_a_cpu_and_two_in_bfloat16(precision: str, batch: int) -> None:
    made = plan((137, 171, 139), dimensions=3, stem=2, memory_bytes=12 * GIB, most_voxels=270_000, precision=precision)

    assert (made.patch, made.batch, made.filters) == ((64, 64, 64), batch, (32, 64, 96, 128))

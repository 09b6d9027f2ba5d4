import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.segmentation.networks.region_unet import region_unet
from brats_ml.segmentation.networks.sliced_convolution import BlockwiseConv3DTranspose, SlicedConv3D


@settings(max_examples=20, deadline=None)
@given(
    width_and_step=st.sampled_from([(3, 1), (3, 2), (6, 2), (3, 3), (1, 1)]),
    blocks=st.tuples(*[st.integers(1, 3)] * 3),
    channels=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_a_sliced_convolution_equals_that_of_keras(
    width_and_step: tuple[int, int], blocks: tuple[int, int, int], channels: int, seed: int
) -> None:
    width, step = width_and_step
    extent = tuple(step * (2 + count) for count in blocks)
    x = np.random.default_rng(seed).standard_normal((2, *extent, channels)).astype(np.float32)
    both = [
        kind(4, width, strides=step, padding="same", use_bias=False) for kind in (keras.layers.Conv3D, SlicedConv3D)
    ]
    expected = both[0](x)
    both[1].build(x.shape)
    both[1].set_weights(both[0].get_weights())
    np.testing.assert_allclose(both[1](x), expected, atol=1e-5)


@pytest.mark.parametrize("step", [1, 2])
def test_a_blockwise_transposed_convolution_equals_that_of_keras(step: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 6)).astype(np.float32)
    both = [
        kind(7, step, strides=step, padding="same") for kind in (keras.layers.Conv3DTranspose, BlockwiseConv3DTranspose)
    ]
    expected = both[0](x)
    both[1].build(x.shape)
    both[1].set_weights([both[0].get_weights()[0], np.arange(7, dtype=np.float32)])
    np.testing.assert_allclose(both[1](x), expected + np.arange(7), atol=1e-5)


@pytest.mark.parametrize("stem", [1, 2])
def test_a_sliced_network_has_the_weights_and_logits_of_the_plain_one(stem: int) -> None:
    """Training on a GPU uses the sliced network, and the saved model is the plain one."""
    settings = {"dimensions": 3, "channels": 2, "regions": 3, "filters": (4, 8, 8), "stem": stem, "seed": 0}
    plain, sliced = region_unet(**settings), region_unet(**settings, extent=(16, 24, 8), sliced=True)
    assert [w.shape for w in plain.weights] == [w.shape for w in sliced.weights]
    sliced.set_weights(plain.get_weights())
    x = np.random.default_rng(0).standard_normal((1, 16, 24, 8, 2)).astype(np.float32)
    np.testing.assert_allclose(sliced(x), plain(x), atol=1e-4)

"""Logits are resized by bilinear interpolation without antialiasing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.masks.resize import resize_logits

SIZES = [((256, 256), (480, 640)), ((16, 24), (7, 50)), ((7, 5), (13, 200)), ((1, 9), (5, 50)), ((3, 1), (4, 4))]


def resize_by_definition(logits: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Compute every output pixel as a sum over all input pixels with triangular weights around its center."""

    def weights(before: int, after: int) -> NDArray[np.float64]:
        centers = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
        return np.maximum(0, 1 - abs(centers[:, None] - np.arange(before)))

    return weights(logits.shape[0], size[0]) @ logits @ weights(logits.shape[1], size[1]).T


def make_logits(shape: tuple[int, int]) -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(scale=10, size=shape)


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_float64_is_bilinear_to_the_last_digits(shape: tuple[int, int], size: tuple[int, int]):
    logits = make_logits(shape)
    result = resize_logits(logits, size)
    assert result.dtype == np.float64
    # Weights come from positions up to 256 with an error of 256 · 2⁻⁵³, times logits of up to 50.
    np.testing.assert_allclose(result, resize_by_definition(logits, size), rtol=0, atol=2e-12)


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_float32_is_bilinear_within_its_precision(shape: tuple[int, int], size: tuple[int, int]):
    logits = make_logits(shape)
    result = resize_logits(logits.astype(np.float32), size)
    assert result.dtype == np.float32
    # Weights with an error of 256 · 2⁻²⁴ · 0.1 and three roundings of logits of up to 50.
    np.testing.assert_allclose(result, resize_by_definition(logits, size), rtol=0, atol=5e-5)


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_the_result_is_that_of_torch(shape: tuple[int, int], size: tuple[int, int]):
    torch = pytest.importorskip("torch")
    logits = make_logits(shape)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None, None], size, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(resize_logits(logits, size), expected[0, 0].numpy(), rtol=0, atol=2e-12)


def test_logits_of_the_same_size_are_returned_themselves():
    logits = make_logits((4, 6))
    assert resize_logits(logits, (4, 6)) is logits


def test_edges_are_clamped():
    assert resize_logits(np.array([[0.0, 4.0]]), (1, 4)).tolist() == [[0.0, 1.0, 3.0, 4.0]]

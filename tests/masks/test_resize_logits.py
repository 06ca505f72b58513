"""Low-res logits become logits at the picture's size by one rule."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.masks.resize import interpolate

SIZES = [((256, 256), (480, 640)), ((16, 24), (7, 50)), ((7, 5), (13, 200)), ((1, 9), (5, 50)), ((3, 1), (4, 4))]


def by_definition(logits: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Every output pixel as a sum over all input pixels of triangle weights around its centre."""

    def weights(before: int, after: int) -> NDArray[np.float64]:
        centres = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
        return np.maximum(0, 1 - abs(centres[:, None] - np.arange(before)))

    return weights(logits.shape[0], size[0]) @ logits @ weights(logits.shape[1], size[1]).T


def logits_of(shape: tuple[int, int]) -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(scale=10, size=shape)


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_float64_is_bilinear_to_the_last_digits(shape: tuple[int, int], size: tuple[int, int]):
    logits = logits_of(shape)
    result = interpolate(logits, size)
    assert result.dtype == np.float64
    # Weights come from positions up to 256 with an error of 256 · 2⁻⁵³, times logits of up to 50.
    np.testing.assert_allclose(result, by_definition(logits, size), rtol=0, atol=2e-12)


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_float32_is_bilinear_within_its_precision(shape: tuple[int, int], size: tuple[int, int]):
    logits = logits_of(shape)
    result = interpolate(logits.astype(np.float32), size)
    assert result.dtype == np.float32
    # Weights with an error of 256 · 2⁻²⁴ · 0.1 and three roundings of logits of up to 50.
    np.testing.assert_allclose(result, by_definition(logits, size), rtol=0, atol=5e-5)


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_it_is_what_torch_computes(shape: tuple[int, int], size: tuple[int, int]):
    torch = pytest.importorskip("torch")
    logits = logits_of(shape)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None, None], size, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(interpolate(logits, size), expected[0, 0].numpy(), rtol=0, atol=2e-12)


def test_logits_of_that_size_are_returned_as_they_are():
    logits = logits_of((4, 6))
    assert interpolate(logits, (4, 6)) is logits


def test_doubling_holds_the_edges():
    assert interpolate(np.array([[0.0, 4.0]]), (1, 4)).tolist() == [[0.0, 1.0, 3.0, 4.0]]

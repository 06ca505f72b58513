"""Sine, time and Fourier position encodings: symmetry, values, dtypes and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masklet.model.position_encoding import (  # noqa: E402
    FourierEncoding,
    compute_sine_encoding,
    compute_time_encoding,
    promote_to_float32,
)

FLOAT64 = torch.zeros(1, dtype=torch.float64)


@pytest.mark.parametrize(
    ("dtype", "promoted"), [("bfloat16", "float32"), ("float16", "float32"), ("float32", "float32"), ("float64",) * 2]
)
def test_encodings_are_computed_in_float32_or_better(dtype: str, promoted: str) -> None:
    assert promote_to_float32(getattr(torch, dtype)) == getattr(torch, promoted)


def test_the_sine_encoding_swaps_its_halves_when_the_map_is_transposed() -> None:
    encoding = compute_sine_encoding(5, 7, 16, FLOAT64)
    transposed = compute_sine_encoding(7, 5, 16, FLOAT64)
    assert torch.equal(encoding[:8], transposed[8:].mT)
    assert torch.equal(encoding[8:], transposed[:8].mT)


def test_the_sine_encoding_of_a_position_is_that_of_the_formula() -> None:
    encoding = compute_sine_encoding(4, 6, 8, FLOAT64)
    y, x = 3 / (4 + 1e-6) * 2 * math.pi, 2 / (6 + 1e-6) * 2 * math.pi  # row 2, column 1; positions count from 1
    expected = [f(t / length) for t in (y, x) for length in (1, 10_000**0.5) for f in (math.sin, math.cos)]
    np.testing.assert_allclose(encoding[:, 2, 1].numpy(), expected, atol=1e-12)


def test_the_time_encoding_is_odd_in_its_sines_and_even_in_its_cosines() -> None:
    times = torch.linspace(0, 1, 5, dtype=torch.float64)
    forward, backward = compute_time_encoding(times, 16), compute_time_encoding(-times, 16)
    assert forward.shape == (5, 16)
    assert torch.equal(forward[:, :8], -backward[:, :8])
    assert torch.equal(forward[:, 8:], backward[:, 8:])


def make_fourier() -> FourierEncoding:
    fourier = FourierEncoding(32)
    fourier.gaussian = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return fourier


def test_the_fourier_encoding_is_symmetric_about_the_center() -> None:
    grid = make_fourier().encode_grid(6, 4)[0]
    mirrored = grid.flip(1, 2)
    torch.testing.assert_close(mirrored[:16], -grid[:16])
    torch.testing.assert_close(mirrored[16:], grid[16:])


def test_the_grid_encodes_the_cell_centers() -> None:
    fourier = make_fourier()
    grid = fourier.encode_grid(6, 4)
    assert grid.shape == (1, 32, 6, 4)
    torch.testing.assert_close(grid[0, :, 2, 3], fourier(torch.tensor([3.5 / 4, 2.5 / 6], dtype=torch.float64)))


def test_tables_that_inference_loads_can_be_trained_with() -> None:
    tensor = torch.ones(1, 24, 5, 3, requires_grad=True)
    with torch.inference_mode():
        compute_sine_encoding(5, 3, 24, tensor)
    (tensor * compute_sine_encoding(5, 3, 24, tensor)).sum().backward()
    assert tensor.grad is not None

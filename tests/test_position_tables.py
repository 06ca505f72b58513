"""Position tables equal their formulas position by position. Needs no PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from masklet import position_tables


def test_the_sine_table_lists_the_encoding_row_by_row() -> None:
    table = position_tables.compute_sine_table(4, 6, 8)
    y, x = 3 / (4 + 1e-6) * 2 * math.pi, 2 / (6 + 1e-6) * 2 * math.pi  # row 2, column 1; positions count from 1
    expected = [f(t / length) for t in (y, x) for length in (1, 10_000**0.5) for f in (math.sin, math.cos)]
    np.testing.assert_allclose(table[2 * 6 + 1], expected, atol=1e-12)


def test_axial_angles_grow_with_x_in_the_first_half_and_with_y_in_the_second() -> None:
    angles = position_tables.compute_axial_angles(5, 16)
    frequencies = [10_000.0 ** -(4 * pair / 16) for pair in range(4)]
    y, x = 3, 2
    expected = [*(x * frequency for frequency in frequencies), *(y * frequency for frequency in frequencies)]
    np.testing.assert_allclose(angles[5 * y + x], expected, atol=1e-12)


def test_position_waves_are_sines_and_cosines_along_x_and_y_at_pixel_centers() -> None:
    waves = position_tables.compute_position_waves(4, 8)
    y, x = math.pi * (2 * 2.5 / 4 - 1), math.pi * (2 * 6.5 / 8 - 1)  # row 2, column 6
    expected = [wave(cycles * angle) for cycles in (0.5, 2, 6) for wave in (math.sin, math.cos) for angle in (x, y)]
    np.testing.assert_allclose(waves[:, 2, 6], expected, atol=1e-12)


def test_cell_centers_are_xy_fractions() -> None:
    centers = position_tables.compute_cell_centers(2, 4)
    np.testing.assert_allclose(centers[4 + 1], (1.5 / 4, 1.5 / 2))


@pytest.mark.parametrize(("source", "target"), [(7, 24), (14, 64), (32, 8)])
def test_bicubic_resizing_keeps_constants_everywhere_and_lines_inside(source: int, target: int) -> None:
    matrix = position_tables.compute_cubic_matrix(source, target)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    centers = (np.arange(target) + 0.5) * source / target - 0.5
    inside = (centers >= 1) & (centers <= source - 2)
    assert inside.any()
    assert np.abs(matrix @ np.arange(source) - centers)[inside].max() < 0.1  # cubic kernels bend lines a little
    np.testing.assert_allclose(position_tables.compute_cubic_matrix(source, source), np.eye(source), atol=1e-12)


def test_a_bicubic_weight_is_that_of_the_kernel() -> None:
    weights = position_tables.compute_cubic_matrix(8, 16)[7]  # centered at 3.25
    a = -0.75
    expected = [
        a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d > 1 else (a + 2) * d**3 - (a + 3) * d**2 + 1
        for d in (1.25, 0.25, 0.75, 1.75)
    ]
    np.testing.assert_allclose(weights[2:6], expected)
    assert not weights[:2].any() and not weights[6:].any()

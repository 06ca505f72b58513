"""Images are resized as by PyTorch's antialiased bilinear interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masklet.images.resize import resize_antialiased

SIDES = st.integers(1, 70)


def test_the_weights_of_a_quarter_of_the_size() -> None:
    line = np.arange(8.0)[None]
    found = resize_antialiased(line, (1, 2))[0]  # weights 5, 7, 7, 5, 3, 1 from both ends
    assert found.tolist() == pytest.approx([53 / 28, 7 - 53 / 28])


def test_twice_the_size_is_plain_bilinear() -> None:
    assert resize_antialiased(np.array([[0.0, 4.0]]), (1, 4))[0].tolist() == [0, 1, 3, 4]


@given(SIDES, SIDES, SIDES, SIDES)
def test_a_uniform_image_is_not_changed(height: int, width: int, new_height: int, new_width: int) -> None:
    found = resize_antialiased(np.full((2, height, width), 0.7), (new_height, new_width))
    assert found.shape == (2, new_height, new_width)
    assert np.abs(found - 0.7).max() < 1e-14


def test_a_large_image_is_resized_as_its_parts_are() -> None:
    values = np.random.default_rng(0).random((700, 9000), np.float32)
    columns = resize_antialiased(values, (300, 9000))
    assert np.abs(columns[:, 4000:4008] - resize_antialiased(values[:, 4000:4008], (300, 8))).max() < 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_preserved(dtype: type) -> None:
    assert resize_antialiased(np.ones((5, 7), dtype), (3, 9)).dtype == dtype


def test_an_image_of_the_requested_size_is_returned_itself() -> None:
    values = np.random.default_rng(0).random((3, 4))
    assert resize_antialiased(values, (3, 4)) is values


@settings(deadline=None)  # the first example imports torch
@given(SIDES, SIDES, SIDES, st.integers(2, 70))  # to a width of one, PyTorch 2.13 repeats the first row
def test_the_result_is_that_of_pytorch(height: int, width: int, new_height: int, new_width: int) -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(height * width).random((1, 2, height, width))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values), (new_height, new_width), mode="bilinear", align_corners=False, antialias=True
    )
    assert np.abs(resize_antialiased(values, (new_height, new_width)) - expected.numpy()).max() < 1e-12


def test_float32_images_of_real_sizes_agree_with_pytorch_to_1e_5() -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(1).random((1, 3, 480, 854), np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values), (512, 512), mode="bilinear", align_corners=False, antialias=True
    )
    assert np.abs(resize_antialiased(values, (512, 512)) - expected.numpy()).max() < 1e-5

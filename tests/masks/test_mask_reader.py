"""Mask files become label maps by the rules of `read_mask`."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from masklet import read_mask
from masklet.errors import ImageError
from support.image_files import encode_image, png

RNG = np.random.default_rng(1)
COLORS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
LABELS = np.array([[0, 1, 2], [2, 1, 0]])


def repeat_channels(values: Any) -> np.ndarray[Any, Any]:
    return np.repeat(np.asarray(values, np.uint8)[:, :, None], 3, axis=2)


def test_a_palette_mask_is_read_as_its_indices() -> None:
    image = Image.fromarray(LABELS.astype(np.uint8))
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    found = read_mask(encode_image(image, transparency=0))
    assert np.array_equal(found, LABELS)
    assert found.dtype == np.int32


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_low_gray_values_and_16_bit_values_are_labels(dtype: Any) -> None:
    assert np.array_equal(read_mask(encode_image(LABELS.astype(dtype))), LABELS)


def test_16_bit_labels_are_read_exactly() -> None:
    assert np.array_equal(read_mask(encode_image(DEEP)), DEEP)


def test_four_bit_values_are_labels_as_stored() -> None:
    assert read_mask(png(2, 1, 4, 0, b"\x07")).tolist() == [[0, 7]]


def test_a_one_bit_mask_is_0_and_1() -> None:
    assert np.array_equal(read_mask(encode_image(LABELS > 0)), LABELS > 0)


@pytest.mark.parametrize("image", [GRAY, repeat_channels(GRAY)])
def test_a_black_and_white_mask_is_cut_at_128(image: Any) -> None:
    assert np.array_equal(read_mask(encode_image(image)), GRAY >= 128)


def test_a_compressed_mask_is_cut_at_128() -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    assert np.array_equal(read_mask(encode_image(repeat_channels(mask), "JPEG")), mask > 0)


def test_a_cutout_is_read_as_its_opaque_pixels() -> None:
    image = np.dstack([COLORS, GRAY])
    assert np.array_equal(read_mask(encode_image(image)), GRAY >= 128)


def test_colors_of_davis_are_read_as_their_indices() -> None:
    colors = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)[LABELS]
    assert np.array_equal(read_mask(encode_image(colors)), LABELS)


def test_a_photograph_is_refused_as_a_mask() -> None:
    with pytest.raises(ImageError, match="not a mask") as caught:
        read_mask(encode_image(COLORS))
    assert caught.value.code == "bad-image"


def encode_npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int16", "float32"])
def test_an_npy_file_is_read_as_its_values(dtype: str) -> None:
    values = LABELS if dtype != "float32" else LABELS > 0
    assert np.array_equal(read_mask(encode_npy(values.astype(dtype))), values)


def test_leading_axes_of_length_1_are_removed() -> None:
    assert read_mask(encode_npy(LABELS[None])).shape == (2, 3)


@pytest.mark.parametrize(
    "array", [np.zeros(3), np.zeros((2, 3, 3)), np.array([[object()]]), np.full((2, 2), -1), np.full((2, 2), 2**40)]
)
def test_arrays_that_are_not_labels_are_refused(array: Any) -> None:
    with pytest.raises(ImageError) as caught:
        read_mask(encode_npy(array))
    assert caught.value.code == "bad-image"


def test_a_truncated_npy_file_is_reported() -> None:
    with pytest.raises(ImageError) as caught:
        read_mask(encode_npy(LABELS)[:-3])
    assert caught.value.code == "image-truncated"


def test_a_huge_npy_file_is_refused_from_its_header() -> None:
    with pytest.raises(ImageError) as caught:
        read_mask(encode_npy(LABELS), max_pixels=5)
    assert caught.value.code == "too-many-pixels"


@given(st.binary(max_size=200))
def test_any_bytes_after_the_npy_magic_raise_only_errors_of_masklet(tail: bytes) -> None:
    with pytest.raises(ImageError):
        read_mask(b"\x93NUMPY\1\0" + tail)


def test_mask_files_are_refused_as_images_are() -> None:
    with pytest.raises(ImageError, match="a GIF"):
        read_mask(encode_image(Image.new("RGB", (16, 8)), "GIF"))

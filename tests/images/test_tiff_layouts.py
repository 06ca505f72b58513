"""TIFF files of every layout: equal to the interleaved file, or refused with the reason."""

from __future__ import annotations

import io
import struct
import threading
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from masklet import read_image
from masklet.errors import ImageError, MaskletWarning
from masklet.images import tiff as tiff_module
from support.image_files import tiff
from support.tiff_files import CMYK, WHITE_IS_ZERO, write_tiff

IMAGE = np.zeros((40, 50, 3), np.uint8)
IMAGE[..., 0], IMAGE[..., 1] = np.arange(50) * 5, (np.arange(40) * 6)[:, None]
IMAGE[5:12, 8:20] = [250, 240, 10]
MORE = 255 - IMAGE[..., :1]
LAYOUTS: list[dict[str, Any]] = [{}, {"rows": 7}, {"tile": 16}]


def read(data: bytes) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MaskletWarning)
        return read_image(data)


def deepen(array: NDArray[Any]) -> NDArray[np.uint16]:
    return array.astype(np.uint16) * np.uint16(257)


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("bands", "options"),
    [
        (IMAGE, {}),
        (np.dstack([IMAGE, MORE]), {"extra": (0,)}),
        (np.dstack([IMAGE, MORE]), {"extra": (1,)}),
        (np.dstack([IMAGE, MORE]), {"extra": (2,)}),
        (np.array(Image.fromarray(IMAGE).convert("CMYK")), {"photometric": CMYK}),
        (IMAGE[..., 0], {}),
        (IMAGE[..., 0], {"photometric": WHITE_IS_ZERO}),
    ],
)
def test_planes_equal_interleaved_bands(
    bands: NDArray[Any], options: dict[str, Any], deep: bool, order: str, deflate: bool
) -> None:
    if deep and order == ">" and options == {"photometric": WHITE_IS_ZERO}:
        pytest.skip("Pillow does not decode it, interleaved or not")
    values = deepen(bands) if deep else bands
    expected = read(write_tiff(values, order=order, **options))
    for layout in LAYOUTS:
        data = write_tiff(values, planar=True, order=order, deflate=deflate, **layout, **options)
        assert np.array_equal(read(data), expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_one_plane_of_few_bits_is_read_like_an_interleaved_file(bits: int) -> None:
    packed = np.full((8, 6 * bits // 8 + 1), 0b00011011, np.uint8)
    one, other = (read(write_tiff(packed, planar=planar, bits=bits)) for planar in (False, True))
    assert np.array_equal(one, other)


def test_planes_of_two_satellite_bands_beyond_the_colors_are_left_out() -> None:
    bands = deepen(np.dstack([IMAGE, MORE, MORE]))
    assert np.array_equal(read(write_tiff(bands, planar=True, extra=(0, 0))), IMAGE)


@pytest.mark.parametrize(
    ("array", "options", "reason"),
    [
        (np.dstack([IMAGE[..., 0], MORE]), {"planar": True, "extra": (2,)}, "2 planes of 8-bit unsigned"),
        (np.dstack([IMAGE[..., 0], MORE]), {"planar": True, "extra": (2,), "deflate": True}, "2 planes"),
        (IMAGE, {"planar": True, "photometric": 8}, "3 planes of 8-bit"),
        (IMAGE, {"planar": True, "photometric": 6}, "3 planes of 8-bit"),
        (np.dstack([IMAGE, MORE, MORE]), {"planar": True, "extra": (2, 0)}, "5 planes"),
        (deepen(np.dstack([IMAGE, MORE])), {"planar": True}, "4 planes of 16-bit"),
        (IMAGE[..., 0].astype(np.int8), {}, "1 bands of 8-bit signed"),
        (IMAGE.astype(np.float32), {}, "3 bands of 32-bit floating-point"),
        (IMAGE.astype(np.float64), {"planar": True}, "3 planes of 64-bit floating-point"),
        (IMAGE.astype(np.float16), {"deflate": True}, "16-bit floating-point"),
        (IMAGE[..., 0].astype(np.float64), {}, "64-bit floating-point"),
        (IMAGE.astype(np.uint32), {}, "3 bands of 32-bit unsigned"),
        (IMAGE.astype(np.int16), {}, "3 bands of 16-bit signed"),
        (IMAGE[..., 0].astype(np.uint16), {"bits": 14}, "1 bands of 14-bit"),
    ],
)
def test_pixels_that_are_not_decoded_are_named(array: NDArray[Any], options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        read(write_tiff(array, **options))
    assert caught.value.code == "unsupported-format"


def test_an_unknown_compression_is_named() -> None:
    data = write_tiff(IMAGE).replace(struct.pack("<HHIHH", 259, 3, 1, 1, 0), struct.pack("<HHIHH", 259, 3, 1, 34712, 0))
    with pytest.raises(ImageError, match="compression 34712") as caught:
        read(data)
    assert caught.value.code == "unsupported-format"


def test_unsigned_numbers_of_32_bits_keep_their_sign() -> None:
    values = np.array([[0, 1 << 31], [(1 << 32) - 1, 5]], np.uint32)
    found = read_image(write_tiff(values), value_range=(0, float((1 << 32) - 1)))
    assert found[..., 0].tolist() == [[0, 128], [255, 0]]


def test_uncompressed_colors_of_half_the_resolution_are_read() -> None:
    luma, blue, red = np.moveaxis(np.array(Image.fromarray(IMAGE).convert("YCbCr")), 2, 0)
    blocks = [
        bytes([*luma[y, x : x + 2], *luma[y + 1, x : x + 2], blue[y, x], red[y, x]])
        for y in range(0, 40, 2)
        for x in range(0, 50, 2)
    ]
    data = tiff(50, 40, (8, 8, 8), 6, b"".join(blocks), t530=2)
    data = data.replace(struct.pack("<HHIHH", 530, 3, 1, 2, 0), struct.pack("<HHIHH", 530, 3, 2, 2, 2))
    assert np.abs(read(data).astype(int) - IMAGE).mean() < 5


def test_a_pil_image_with_planes_is_read_like_its_file() -> None:
    data = write_tiff(deepen(IMAGE), planar=True)
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(Image.open(io.BytesIO(data))), IMAGE)


@pytest.mark.skipif(not features.check("libtiff"), reason="Pillow has no libtiff")
def test_the_messages_of_libtiff_return_after_the_last_user() -> None:
    handler = tiff_module._error_handler
    before = handler._set(None)
    handler._set(before)
    barrier = threading.Barrier(4, timeout=60)

    def use() -> None:
        for _ in range(50):
            barrier.wait()
            with tiff_module.silence_libtiff():
                pass

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    after = handler._set(before)
    assert (before, after) == (after, before) and before

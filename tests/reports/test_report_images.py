"""Reports H1 and H2, and defects 10 and 26: planes of TIFF files, JPEG files of many scans, messages of libtiff."""

from __future__ import annotations

import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet import read_image
from masklet.errors import ImageError, MaskletWarning
from masklet.images.jpeg_scans import count_scans
from support.image_files import encode_image
from support.tiff_files import write_tiff

IMAGE = np.zeros((30, 40, 3), np.uint8)
IMAGE[..., 0], IMAGE[..., 1] = np.arange(40) * 6, (np.arange(30) * 8)[:, None]
IMAGE[5:12, 8:20] = [250, 240, 10]


def repeat_scans(jpeg: bytes, times: int, side: int) -> bytes:
    """Repeat the last scan of a progressive JPEG, and state another size for it."""
    end, start = jpeg.rindex(b"\xff\xd9"), jpeg.rindex(b"\xff\xda")
    frame = jpeg.index(b"\xff\xc2") + 5
    data = jpeg[:frame] + struct.pack(">HH", side, side) + jpeg[frame + 4 : end]
    return data + jpeg[start:end] * times + b"\xff\xd9"


def test_h0_planes_of_8_bits_are_read() -> None:
    assert np.array_equal(read_image(write_tiff(IMAGE, planar=True)), IMAGE)


@pytest.mark.parametrize("order", ["<", ">"])
def test_h1_planes_of_16_bits_keep_their_high_8_bits_and_warn(order: str) -> None:
    data = write_tiff(IMAGE.astype(np.uint16) * 257, planar=True, order=order)
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(data), IMAGE)


def test_h2_a_plane_of_infrared_is_left_out() -> None:
    data = write_tiff(np.dstack([IMAGE, IMAGE[..., :1]]), planar=True, extra=(0,))
    assert np.array_equal(read_image(data), IMAGE)


def test_h_floating_point_colors_are_not_supported() -> None:
    with pytest.raises(ImageError, match="3 bands of 32-bit floating-point numbers") as caught:
        read_image(write_tiff((IMAGE / 255).astype(np.float32)))
    assert caught.value.code == "unsupported-format"


def test_defect_10_a_jpeg_of_many_scans_is_refused_at_once() -> None:
    jpeg = encode_image(Image.fromarray(IMAGE), "JPEG", progressive=True)
    assert np.abs(read_image(jpeg).astype(int) - IMAGE).mean() < 10
    start = time.monotonic()
    with pytest.raises(ImageError, match="scans") as caught:
        read_image(repeat_scans(jpeg, 200, 9000))
    assert (caught.value.code, time.monotonic() - start < 60) == ("image-broken", True)


def test_defect_10_scans_of_a_preview_do_not_count() -> None:
    jpeg = encode_image(Image.fromarray(IMAGE), "JPEG", progressive=True)
    preview = b"Exif\0\0" + jpeg
    metadata = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    with_preview = jpeg[:2] + metadata + jpeg[2:]
    assert count_scans(jpeg) == count_scans(with_preview) == count_scans(with_preview + jpeg)
    assert count_scans(repeat_scans(jpeg, 5, 9000)) == count_scans(jpeg) + 5
    assert count_scans(encode_image(Image.fromarray(IMAGE), "JPEG")) == 1


def test_defect_26_libtiff_writes_nothing_to_standard_error(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = bytearray(write_tiff(IMAGE, deflate=True))
    data[12:60] = bytes(48)
    path = tmp_path / "broken.tif"
    path.write_bytes(data)
    for source in (path, bytes(data), Image.open(io.BytesIO(data))):
        with pytest.raises(ImageError):
            read_image(source)
    assert capfd.readouterr().err == ""

"""Pictures of every kind become (H, W, 3) uint8 RGB by the rules that `read_image` states."""

from __future__ import annotations

import io
import os
import random
import socket
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from masklet import read_image, read_mask
from masklet.errors import ImageError, InputNotFound, MaskletWarning, SettingsError
from support.image_files import FORMATS, damage, encode_image, png, tiff

RNG = np.random.default_rng(1)
COLOURS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
GREEN = Image.new("RGB", (16, 8), (0, 120, 0))


def grey(values: Any) -> np.ndarray[Any, Any]:
    return np.repeat(np.asarray(values, np.uint8)[:, :, None], 3, axis=2)


def smooth(size: tuple[int, int] = (48, 64)) -> np.ndarray[Any, Any]:
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([x * 255 // size[1], y * 255 // size[0], (x + y) % 64 + 90], axis=2).astype(np.uint8)


# --- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_rgb_files_keep_every_pixel(form: str) -> None:
    assert np.array_equal(read_image(encode_image(COLOURS, form)), COLOURS)


def test_lossless_webp_keeps_every_pixel() -> None:
    assert np.array_equal(read_image(encode_image(COLOURS, "WebP", lossless=True)), COLOURS)


def test_a_jpeg_equals_what_pillow_decodes() -> None:
    data = encode_image(smooth(), "JPEG", quality=90)
    assert np.array_equal(read_image(data), np.array(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_grey_files_have_three_equal_channels(form: str) -> None:
    assert np.array_equal(read_image(encode_image(GREY, form)), grey(GREY))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_0_or_255(form: str) -> None:
    bits = GREY > 127
    assert np.array_equal(read_image(encode_image(bits, form)), grey(bits * 255))


@pytest.mark.parametrize(("bits", "step"), [(2, 85), (4, 17)])
def test_few_bits_of_grey_span_black_to_white(bits: int, step: int) -> None:
    values = np.arange(2**bits, dtype=np.uint8)[None].repeat(2, axis=0)
    rows = np.packbits(np.unpackbits(values[:, :, None], axis=2)[:, :, -bits:].reshape(2, -1), axis=1)
    data = png(2**bits, 2, bits, 0, rows.tobytes())
    assert np.array_equal(read_image(data), grey(values * step))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_a_palette_gives_its_colours(form: str) -> None:
    picture = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert read_image(encode_image(picture, form))[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]


def test_a_transparent_palette_entry_becomes_black() -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        assert read_image(encode_image(picture, transparency=0))[0].tolist() == [[0, 0, 0], [40, 50, 60]]


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("TIFF", {}), ("WebP", {"lossless": True, "exact": True})])
def test_alpha_is_composited_on_black(form: str, options: dict[str, Any]) -> None:
    picture = np.array([[[200, 100, 50, 0], [200, 100, 50, 255], [200, 100, 50, 51]]], np.uint8)
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        rgb = read_image(encode_image(picture, form, **options))
    assert rgb[0].tolist() == [[0, 0, 0], [200, 100, 50], [40, 20, 10]]


def test_grey_with_alpha_is_composited_on_black() -> None:
    picture = Image.merge("LA", (Image.new("L", (1, 1), 200), Image.new("L", (1, 1), 51)))
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        assert read_image(encode_image(picture)).tolist() == [[[40, 40, 40]]]


def test_opaque_alpha_changes_nothing_and_does_not_warn() -> None:
    assert np.array_equal(read_image(encode_image(np.dstack([COLOURS, np.full((6, 9), 255, np.uint8)]))), COLOURS)


@pytest.mark.parametrize(("colour", "rows", "key"), [(0, b"\x07\x08", b"\0\x07"), (2, b"\7\7\7\10\10\10", b"\0\7" * 3)])
def test_a_key_colour_becomes_black(colour: int, rows: bytes, key: bytes) -> None:
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        assert read_image(png(2, 1, 8, colour, rows, tRNS=key)).tolist() == [[[0, 0, 0], [8, 8, 8]]]


def test_a_key_of_two_bits_becomes_black() -> None:
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        assert read_image(png(2, 1, 2, 0, b"\xe0", tRNS=b"\0\3"))[0, :, 0].tolist() == [0, 170]


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_is_read_with_the_right_polarity(form: str) -> None:
    inks = Image.new("CMYK", (16, 16), (255, 0, 255, 0))  # cyan and yellow ink are green
    assert np.allclose(read_image(encode_image(inks, form))[8, 8], (0, 255, 0), atol=2)  # JPEG is lossy


def test_ycck_is_read_like_cmyk() -> None:
    data = bytearray(encode_image(Image.new("CMYK", (16, 16), (0, 0, 0, 128)), "JPEG"))
    place = data.index(b"Adobe")
    assert data[place + 11] == 0  # the transform: plain CMYK
    assert np.allclose(read_image(bytes(data))[8, 8], 127, atol=2)
    data[place + 11] = 2  # the same bytes as YCCK: Y, Cb, Cr = 255 inverted ink, neutral only if 128
    expected = np.array(Image.open(io.BytesIO(bytes(data))).convert("RGB"))
    assert np.array_equal(read_image(bytes(data)), expected)


def test_lab_becomes_srgb() -> None:
    data = tiff(2, 1, (8, 8, 8), 8, bytes([255, 0, 0, 0, 0, 0]))
    assert np.allclose(read_image(data)[0], [[255, 255, 255], [0, 0, 0]], atol=1)


def test_ycbcr_tiff_is_converted() -> None:
    picture = Image.new("YCbCr", (4, 4), (128, 128, 128))
    assert np.allclose(read_image(encode_image(picture, "TIFF")), 128, atol=1)


# --- depth -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_high_byte(form: str) -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(encode_image(DEEP, form)), grey(DEEP >> 8))


def test_big_endian_16_bit_tiff_is_read_alike() -> None:
    picture = Image.frombytes("I;16B", (9, 6), DEEP.astype(">u2").tobytes())
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(encode_image(picture, "TIFF")), grey(DEEP >> 8))


def test_16_bit_where_white_is_zero_is_inverted() -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(tiff(9, 6, (16,), 0, DEEP.tobytes())), grey(255 - (DEEP >> 8)))


def test_12_bit_grey_keeps_its_high_byte() -> None:
    with pytest.warns(MaskletWarning, match="12 bits"):
        data = tiff(2, 1, (12,), 1, bytes([0xAB, 0xC1, 0x23]))  # 0xABC and 0x123
        assert read_image(data)[0, :, 0].tolist() == [0xAB, 0x12]


@pytest.mark.parametrize("colour", [2, 6])
def test_16_bit_colours_of_png_keep_their_high_byte_and_warn(colour: int) -> None:
    values = np.full((2, 3, 3 if colour == 2 else 4), 65535, ">u2")
    values[:, :, :3] = RNG.integers(0, 65536, (2, 3, 3))
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(png(3, 2, 16, colour, values.tobytes())), values[:, :, :3] >> 8)


def test_16_bit_colours_of_tiff_keep_their_high_byte_and_warn() -> None:
    values = RNG.integers(0, 65536, (2, 3, 3), dtype=np.uint16)
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(tiff(3, 2, (16, 16, 16), 2, values.tobytes())), values >> 8)


def test_a_16_bit_key_grey_becomes_black() -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        data = png(2, 1, 16, 0, b"\x40\x01\x40\x02", tRNS=b"\x40\x01")
        assert read_image(data)[0, :, 0].tolist() == [0, 0x40]


def test_a_16_bit_key_colour_leaves_its_neighbours_alone() -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        data = png(2, 1, 16, 2, b"\x40\x01" * 3 + b"\x40\x02" * 3, tRNS=b"\0\x40" * 3)
        assert (read_image(data) == 0x40).all()


@pytest.mark.parametrize("mode", ["F", "I"])
def test_32_bit_pictures_need_a_range(mode: str) -> None:
    data = encode_image(Image.new(mode, (2, 2), 1), "TIFF")
    with pytest.raises(ImageError, match="value_range") as caught:
        read_image(data)
    assert caught.value.code == "float-needs-range"


def test_a_range_stretches_numbers_and_clips_them() -> None:
    values = np.array([[-1, 0, 0.5, 1, 2, np.nan, np.inf]], np.float32)
    assert read_image(encode_image(values, "TIFF"), value_range=(0, 1))[0, :, 0].tolist() == [
        0,
        0,
        128,
        255,
        255,
        0,
        255,
    ]


def test_a_range_replaces_the_high_byte_of_16_bit_pictures() -> None:
    values = np.array([[0, 2048, 4095, 60000]], np.uint16)
    assert read_image(encode_image(values), value_range=(0, 4095))[0, :, 0].tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize("wrong", [(1, 0), (0, 0), (0, float("nan"))])
def test_a_range_must_ascend(wrong: tuple[float, float]) -> None:
    with pytest.raises(SettingsError, match="low < high"):
        read_image(GREY, value_range=wrong)


# --- orientation -----------------------------------------------------------------------------------------------------

UPRIGHT = Image.fromarray(smooth((32, 48)))
LYING = {  # how the pixels of an upright picture lie in the file, by orientation
    1: UPRIGHT,
    2: UPRIGHT.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: UPRIGHT.transpose(Image.Transpose.ROTATE_180),
    4: UPRIGHT.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: UPRIGHT.transpose(Image.Transpose.TRANSPOSE),
    6: UPRIGHT.transpose(Image.Transpose.ROTATE_90),
    7: UPRIGHT.transpose(Image.Transpose.TRANSVERSE),
    8: UPRIGHT.transpose(Image.Transpose.ROTATE_270),
}


def lying(orientation: int, form: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return encode_image(LYING[orientation], form, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WebP", {"lossless": True}),
        ("JPEG", {"quality": 98, "subsampling": 0}),
    ],
    ids=["PNG", "TIFF", "TIFF-LZW", "WebP", "JPEG"],
)
def test_a_lying_picture_is_turned_upright_once(orientation: int, form: str, options: dict[str, Any]) -> None:
    rgb = read_image(lying(orientation, form, **options))
    allowed = 8 if form == "JPEG" else 0  # lossy
    assert rgb.shape == (32, 48, 3)
    assert np.abs(rgb.astype(int) - np.array(UPRIGHT)).max() <= allowed


def test_a_pil_image_from_a_file_is_read_like_its_file() -> None:
    data = lying(6, "PNG")
    assert np.array_equal(read_image(Image.open(io.BytesIO(data))), read_image(data))


def test_a_pil_image_that_was_turned_already_is_left_alone() -> None:
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(lying(6, "JPEG"))))
    assert np.array_equal(read_image(turned), np.array(turned))


def test_a_pil_image_that_was_worked_on_is_taken_as_it_stands() -> None:
    worked = Image.open(io.BytesIO(lying(6, "PNG"))).convert("RGB")
    assert np.array_equal(read_image(worked), np.array(worked))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_stop_a_picture() -> None:
    assert np.array_equal(
        read_image(encode_image(COLOURS, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")), COLOURS
    )


# --- sources ---------------------------------------------------------------------------------------------------------


def test_path_string_bytes_and_file_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "wrong_name.gif"
    path.write_bytes(encode_image(COLOURS))
    with path.open("rb") as handle:
        for source in (path, str(path), path.read_bytes(), memoryview(path.read_bytes()), handle):
            assert np.array_equal(read_image(source), COLOURS)


def test_an_rgb_array_comes_back_itself() -> None:
    assert read_image(COLOURS) is COLOURS


def test_results_from_files_may_be_written_to() -> None:
    assert read_image(encode_image(COLOURS)).flags.writeable


def test_reversed_channels_come_back_contiguous() -> None:
    assert read_image(COLOURS[:, :, ::-1]).flags.c_contiguous


@pytest.mark.parametrize("array", [GREY, GREY[:, :, None]])
def test_grey_arrays_get_three_channels(array: Any) -> None:
    assert np.array_equal(read_image(array), grey(GREY))


def test_a_boolean_array_is_black_and_white() -> None:
    assert np.array_equal(read_image(GREY > 9), grey((GREY > 9) * 255))


def test_a_16_bit_array_keeps_its_high_byte() -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(DEEP), grey(DEEP >> 8))


def test_an_array_with_alpha_is_composited_on_black() -> None:
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        assert read_image(np.array([[[200, 100, 50, 51]]], np.uint8)).tolist() == [[[40, 20, 10]]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
def test_other_numbers_in_arrays_need_a_range(dtype: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(np.zeros((4, 4), dtype))
    assert caught.value.code == "float-needs-range"


@pytest.mark.parametrize(
    "source",
    [np.zeros((4, 4, 2), np.uint8), np.zeros(9, np.uint8), np.zeros((2, 4, 4, 3), np.uint8), np.array(["a"]), 7, None],
)
def test_what_is_no_picture_is_refused(source: Any) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    assert caught.value.code == "bad-image"


def test_text_instead_of_bytes_is_refused() -> None:
    with pytest.raises(ImageError, match="binary file"):
        read_image(io.StringIO("text"))


def test_a_planar_array_is_refused_with_advice() -> None:
    with pytest.raises(ImageError, match=r"transpose\(1, 2, 0\)"):
        read_image(np.zeros((3, 40, 50), np.uint8))


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (1, 65536, 3)])
def test_arrays_with_impossible_sides_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(np.zeros(shape, np.uint8))
    assert caught.value.code == "bad-dimensions"


def test_tensors_are_planar() -> None:
    torch = pytest.importorskip("torch")
    planes = torch.from_numpy(COLOURS.transpose(2, 0, 1).copy())
    for tensor in (planes, planes.float() / 255, (planes.double() / 255).requires_grad_()):
        assert np.array_equal(read_image(tensor), COLOURS)


def test_half_precision_tensors_are_read_to_their_precision() -> None:
    torch = pytest.importorskip("torch")
    half = torch.from_numpy(COLOURS.transpose(2, 0, 1).copy()).bfloat16() / 255
    assert np.abs(read_image(half).astype(int) - COLOURS).max() <= 1  # bfloat16 has 8 bits


@pytest.mark.parametrize("shape", [(6, 9, 3), (2, 3, 6, 9), (5,)])
def test_tensors_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ImageError, match=r"tensor|picture") as caught:
        read_image(torch.zeros(shape))
    assert caught.value.code == "bad-image"


def test_a_normalised_tensor_needs_a_range() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ImageError, match="normalised") as caught:
        read_image(torch.linspace(-2, 2, 16).reshape(4, 4))
    assert caught.value.code == "float-needs-range"


# --- refusals --------------------------------------------------------------------------------------------------------

STRANGERS = {
    "a GIF": encode_image(GREEN, "GIF"),
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
    "AVIF": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(40),
    "an MP4 video": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(40),
    "a Matroska or WebM video": b"\x1aE\xdf\xa3" + bytes(40),
    "an SVG drawing": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>',
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "a PDF": b"%PDF-1.7\n",
    "a PostScript file": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "a git-LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a text file": "Schöne Grüße\n".encode() * 3,
    "JSON": b'{"a": 1}',
    "a ZIP archive": b"PK\x03\x04" + bytes(40),
    "a numpy array": b"\x93NUMPY\1\0" + bytes(40),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "a camera raw file": b"II*\0\x10\0\0\0CR\2\0" + bytes(40),
    "an unknown kind of file": bytes(range(1, 40)),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_other_files_are_refused_by_what_they_are(kind: str) -> None:
    with pytest.raises(ImageError, match=kind) as caught:
        read_image(STRANGERS[kind])
    assert caught.value.code == "unsupported-format"


def test_the_preview_in_a_raw_file_is_not_taken_for_the_picture() -> None:
    with pytest.raises(ImageError, match="preview") as caught:
        read_image(tiff(3, 2, (8, 8, 8), 2, bytes(18), t254=1))
    assert caught.value.code == "unsupported-format"


def test_missing_files_are_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", "", tmp_path / "file" / "below"):
        with pytest.raises(InputNotFound) as caught:
            read_image(path)
        assert caught.value.code in {"input-not-found", "input-unreadable"}
        assert isinstance(caught.value, FileNotFoundError)


def test_a_web_address_is_refused_with_advice() -> None:
    with pytest.raises(InputNotFound, match="download it first"):
        read_image("https://example.org/a.png")


def test_folders_pipes_sockets_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "socket", "/dev/null"):
        with pytest.raises(InputNotFound) as caught:
            read_image(path)
        assert caught.value.code == "input-unreadable"
    listener.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encode_image(COLOURS))
    path.chmod(0)
    with pytest.raises(InputNotFound) as caught:
        read_image(path)
    assert caught.value.code == "input-unreadable"


def test_a_name_with_a_zero_byte_is_unreadable() -> None:
    with pytest.raises(InputNotFound):
        read_image("a\0b.png")


def test_empty_files_and_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for source in (tmp_path / "empty.png", b"", io.BytesIO()):
        with pytest.raises(InputNotFound) as caught:
            read_image(source)
        assert caught.value.code == "input-empty"


@pytest.mark.parametrize("form", FORMATS)
def test_more_pixels_than_allowed_are_refused_before_decoding(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_image(GREEN, form)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="16 × 8 = 128 pixels") as caught:
        read_image(data, max_pixels=127)
    assert (caught.value.code, caught.value.context["actual"]) == ("too-many-pixels", 128)


def test_a_bomb_is_refused_from_its_header() -> None:
    with pytest.raises(ImageError) as caught:
        read_image(png(60000, 60000, 8, 2, b""))
    assert caught.value.code == "too-many-pixels"


def test_a_large_picture_within_the_limit_raises_no_warning_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(encode_image(GREEN)).shape == (8, 16, 3)


def test_a_side_beyond_65535_is_refused() -> None:
    with pytest.raises(ImageError) as caught:
        read_image(png(70000, 1, 8, 0, b""))
    assert caught.value.code == "bad-dimensions"


def test_extreme_but_possible_sides_are_read() -> None:
    assert read_image(encode_image(np.zeros((1, 65535), np.uint8))).shape == (1, 65535, 3)
    assert read_image(encode_image(np.zeros((1, 1), np.uint8))).shape == (1, 1, 3)


def variants() -> dict[str, bytes]:
    picture = smooth()
    return {
        **{form: encode_image(picture, form) for form in FORMATS},
        "JPEG progressive": encode_image(picture, "JPEG", progressive=True),
        "WebP lossless": encode_image(picture, "WebP", lossless=True),
        "TIFF LZW": encode_image(picture, "TIFF", compression="tiff_lzw"),
        "TIFF deflate": encode_image(picture, "TIFF", compression="tiff_adobe_deflate"),
        "PNG palette": encode_image(Image.fromarray(picture).quantize(16)),
        "PNG 16": encode_image(RNG.integers(0, 65536, (48, 64), dtype=np.uint16)),
    }


VARIANTS = variants()


def outcome(data: bytes) -> Any:
    """The pixels, or the code of the refusal; any other exception is a failure."""
    try:
        return read_image(data, max_pixels=2_000_000)
    except (ImageError, InputNotFound) as error:
        return error.code


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.filterwarnings("ignore")
def test_a_truncated_file_is_named_so_unless_every_pixel_is_there(name: str) -> None:
    data = VARIANTS[name]
    for end in range(40, len(data), max(1, len(data) // 100)):
        found = outcome(data[:end])
        if len(data) - end < 64 and not isinstance(found, str):  # only a checksum or an end mark is missing
            assert np.array_equal(found, outcome(data))
        else:
            assert found == "image-truncated", end


def test_truncation_is_seen_though_pillow_was_told_not_to_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageError) as caught:
        read_image(VARIANTS["JPEG"][:-100])
    assert caught.value.code == "image-truncated"


@pytest.mark.filterwarnings("ignore")
def test_damaged_contents_are_broken() -> None:
    data = bytearray(VARIANTS["PNG"])
    place = data.index(b"IDAT")
    data[place + 10 : place + 200] = bytes(190)
    with pytest.raises(ImageError) as caught:
        read_image(bytes(data))
    assert caught.value.code == "image-broken"


def test_several_pages_or_an_animation_give_the_first_with_a_warning() -> None:
    red = Image.new("RGB", (16, 8), (255, 0, 0))
    for form, options in (("TIFF", {}), ("PNG", {}), ("WebP", {"lossless": True})):
        with pytest.warns(MaskletWarning, match="first-picture-only"):
            data = encode_image(GREEN, form, save_all=True, append_images=[red], **options)
            assert read_image(data)[0, 0].tolist() == [0, 120, 0]


def test_a_warning_points_at_the_line_that_called() -> None:
    with pytest.warns(MaskletWarning) as caught:
        read_image(DEEP)
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", VARIANTS)
def test_damaged_files_raise_only_our_errors_and_quickly(name: str) -> None:
    rng, slowest = random.Random(name), 0.0
    for _ in range(500):
        data, start = damage(VARIANTS[name], rng), time.monotonic()
        outcome(data)
        slowest = max(slowest, time.monotonic() - start)
    assert slowest < 2


def test_settings_of_pillow_stay_as_they_were() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    read_image(encode_image(COLOURS))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


# --- masks -----------------------------------------------------------------------------------------------------------

LABELS = np.array([[0, 1, 2], [2, 1, 0]])


def test_a_palette_mask_gives_its_indices() -> None:
    picture = Image.fromarray(LABELS.astype(np.uint8))
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    found = read_mask(encode_image(picture, transparency=0))
    assert np.array_equal(found, LABELS)
    assert found.dtype == np.int32


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_small_greys_and_16_bit_greys_are_labels(dtype: Any) -> None:
    assert np.array_equal(read_mask(encode_image(LABELS.astype(dtype))), LABELS)


def test_16_bit_labels_are_kept_whole() -> None:
    assert np.array_equal(read_mask(encode_image(DEEP)), DEEP)


def test_four_bit_greys_are_labels_as_stored() -> None:
    assert read_mask(png(2, 1, 4, 0, b"\x07")).tolist() == [[0, 7]]


def test_a_one_bit_mask_is_0_and_1() -> None:
    assert np.array_equal(read_mask(encode_image(LABELS > 0)), LABELS > 0)


@pytest.mark.parametrize("picture", [GREY, grey(GREY)])
def test_a_black_and_white_mask_is_cut_at_128(picture: Any) -> None:
    assert np.array_equal(read_mask(encode_image(picture)), GREY >= 128)


def test_a_compressed_mask_is_cut_at_128() -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    assert np.array_equal(read_mask(encode_image(grey(mask), "JPEG")), mask > 0)


def test_a_cut_out_gives_what_is_opaque() -> None:
    picture = np.dstack([COLOURS, GREY])
    assert np.array_equal(read_mask(encode_image(picture)), GREY >= 128)


def test_colours_of_davis_are_their_indices() -> None:
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)[LABELS]
    assert np.array_equal(read_mask(encode_image(colours)), LABELS)


def test_a_photograph_is_no_mask() -> None:
    with pytest.raises(ImageError, match="not a mask") as caught:
        read_mask(encode_image(COLOURS))
    assert caught.value.code == "bad-image"


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int16", "float32"])
def test_an_npy_file_gives_its_values(dtype: str) -> None:
    values = LABELS if dtype != "float32" else LABELS > 0
    assert np.array_equal(read_mask(npy(values.astype(dtype))), values)


def test_an_npy_file_may_have_leading_ones() -> None:
    assert read_mask(npy(LABELS[None])).shape == (2, 3)


@pytest.mark.parametrize(
    "array", [np.zeros(3), np.zeros((2, 3, 3)), np.array([[object()]]), np.full((2, 2), -1), np.full((2, 2), 2**40)]
)
def test_arrays_that_are_no_labels_are_refused(array: Any) -> None:
    with pytest.raises(ImageError) as caught:
        read_mask(npy(array))
    assert caught.value.code == "bad-image"


def test_a_truncated_npy_file_is_named_so() -> None:
    with pytest.raises(ImageError) as caught:
        read_mask(npy(LABELS)[:-3])
    assert caught.value.code == "image-truncated"


def test_a_huge_npy_file_is_refused_from_its_header() -> None:
    with pytest.raises(ImageError) as caught:
        read_mask(npy(LABELS), max_pixels=5)
    assert caught.value.code == "too-many-pixels"


@given(st.binary(max_size=200))
def test_any_bytes_after_the_npy_magic_raise_only_our_errors(tail: bytes) -> None:
    with pytest.raises(ImageError):
        read_mask(b"\x93NUMPY\1\0" + tail)


def test_masks_refuse_what_pictures_refuse() -> None:
    with pytest.raises(ImageError, match="a GIF"):
        read_mask(STRANGERS["a GIF"])

"""Images of every kind become (H, W, 3) uint8 RGB by the rules of `read_image`."""

from __future__ import annotations

import io
import os
import socket
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image, ImageFile, ImageOps

from fuzzing.kinds.images import encode_variants, make_gradient
from masklet import read_image
from masklet.errors import ImageError, InputNotFound, MaskletWarning, SettingsError
from support.image_files import FORMATS, encode_image, png, tiff

RNG = np.random.default_rng(1)
COLORS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
GREEN = Image.new("RGB", (16, 8), (0, 120, 0))


def repeat_channels(values: Any) -> np.ndarray[Any, Any]:
    return np.repeat(np.asarray(values, np.uint8)[:, :, None], 3, axis=2)


# --- colors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_rgb_files_are_read_exactly(file_format: str) -> None:
    assert np.array_equal(read_image(encode_image(COLORS, file_format)), COLORS)


def test_lossless_webp_is_read_exactly() -> None:
    assert np.array_equal(read_image(encode_image(COLORS, "WebP", lossless=True)), COLORS)


def test_a_jpeg_equals_what_pillow_decodes() -> None:
    data = encode_image(make_gradient(), "JPEG", quality=90)
    assert np.array_equal(read_image(data), np.array(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_gray_files_have_three_equal_channels(file_format: str) -> None:
    assert np.array_equal(read_image(encode_image(GRAY, file_format)), repeat_channels(GRAY))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_0_or_255(file_format: str) -> None:
    bits = GRAY > 127
    assert np.array_equal(read_image(encode_image(bits, file_format)), repeat_channels(bits * 255))


@pytest.mark.parametrize(("bits", "step"), [(2, 85), (4, 17)])
def test_gray_of_few_bits_is_scaled_to_255(bits: int, step: int) -> None:
    values = np.arange(2**bits, dtype=np.uint8)[None].repeat(2, axis=0)
    rows = np.packbits(np.unpackbits(values[:, :, None], axis=2)[:, :, -bits:].reshape(2, -1), axis=1)
    data = png(2**bits, 2, bits, 0, rows.tobytes())
    assert np.array_equal(read_image(data), repeat_channels(values * step))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_a_palette_is_read_as_its_colors(file_format: str) -> None:
    image = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert read_image(encode_image(image, file_format))[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]


def test_a_transparent_palette_entry_becomes_black() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60])
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        assert read_image(encode_image(image, transparency=0))[0].tolist() == [[0, 0, 0], [40, 50, 60]]


@pytest.mark.parametrize(
    ("file_format", "options"), [("PNG", {}), ("TIFF", {}), ("WebP", {"lossless": True, "exact": True})]
)
def test_alpha_is_composited_on_black(file_format: str, options: dict[str, Any]) -> None:
    image = np.array([[[200, 100, 50, 0], [200, 100, 50, 255], [200, 100, 50, 51]]], np.uint8)
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        rgb = read_image(encode_image(image, file_format, **options))
    assert rgb[0].tolist() == [[0, 0, 0], [200, 100, 50], [40, 20, 10]]


def test_gray_with_alpha_is_composited_on_black() -> None:
    image = Image.merge("LA", (Image.new("L", (1, 1), 200), Image.new("L", (1, 1), 51)))
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        assert read_image(encode_image(image)).tolist() == [[[40, 40, 40]]]


def test_opaque_alpha_changes_nothing_and_does_not_warn() -> None:
    assert np.array_equal(read_image(encode_image(np.dstack([COLORS, np.full((6, 9), 255, np.uint8)]))), COLORS)


@pytest.mark.parametrize(("color", "rows", "key"), [(0, b"\x07\x08", b"\0\x07"), (2, b"\7\7\7\10\10\10", b"\0\7" * 3)])
def test_a_transparent_color_becomes_black(color: int, rows: bytes, key: bytes) -> None:
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        assert read_image(png(2, 1, 8, color, rows, tRNS=key)).tolist() == [[[0, 0, 0], [8, 8, 8]]]


def test_a_transparent_gray_of_two_bits_becomes_black() -> None:
    with pytest.warns(MaskletWarning, match="alpha-composited"):
        assert read_image(png(2, 1, 2, 0, b"\xe0", tRNS=b"\0\3"))[0, :, 0].tolist() == [0, 170]


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_is_read_with_the_right_polarity(file_format: str) -> None:
    inks = Image.new("CMYK", (16, 16), (255, 0, 255, 0))  # cyan and yellow ink are green
    assert np.allclose(read_image(encode_image(inks, file_format))[8, 8], (0, 255, 0), atol=2)  # JPEG is lossy


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


@pytest.mark.skipif(PIL.__version__ < "13", reason="Pillow 12 cannot read uncompressed YCbCr TIFF files")
def test_ycbcr_tiff_is_converted() -> None:
    image = Image.new("YCbCr", (4, 4), (128, 128, 128))
    assert np.allclose(read_image(encode_image(image, "TIFF")), 128, atol=1)


# --- depth -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_gray_keeps_its_high_byte(file_format: str) -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(encode_image(DEEP, file_format)), repeat_channels(DEEP >> 8))


def test_big_endian_16_bit_tiff_is_read() -> None:
    image = Image.frombytes("I;16B", (9, 6), DEEP.astype(">u2").tobytes())
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(encode_image(image, "TIFF")), repeat_channels(DEEP >> 8))


def test_16_bit_where_white_is_zero_is_inverted() -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(tiff(9, 6, (16,), 0, DEEP.tobytes())), repeat_channels(255 - (DEEP >> 8)))


def test_12_bit_gray_keeps_its_high_byte() -> None:
    with pytest.warns(MaskletWarning, match="12 bits"):
        data = tiff(2, 1, (12,), 1, bytes([0xAB, 0xC1, 0x23]))  # 0xABC and 0x123
        assert read_image(data)[0, :, 0].tolist() == [0xAB, 0x12]


@pytest.mark.parametrize("color", [2, 6])
def test_16_bit_colors_of_png_keep_their_high_byte_and_warn(color: int) -> None:
    values = np.full((2, 3, 3 if color == 2 else 4), 65535, ">u2")
    values[:, :, :3] = RNG.integers(0, 65536, (2, 3, 3))
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(png(3, 2, 16, color, values.tobytes())), values[:, :, :3] >> 8)


def test_16_bit_colors_of_tiff_keep_their_high_byte_and_warn() -> None:
    values = RNG.integers(0, 65536, (2, 3, 3), dtype=np.uint16)
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(tiff(3, 2, (16, 16, 16), 2, values.tobytes())), values >> 8)


def test_a_transparent_16_bit_gray_becomes_black() -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        data = png(2, 1, 16, 0, b"\x40\x01\x40\x02", tRNS=b"\x40\x01")
        assert read_image(data)[0, :, 0].tolist() == [0, 0x40]


def test_a_transparent_16_bit_color_is_not_applied() -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        data = png(2, 1, 16, 2, b"\x40\x01" * 3 + b"\x40\x02" * 3, tRNS=b"\0\x40" * 3)
        assert (read_image(data) == 0x40).all()


@pytest.mark.parametrize("mode", ["F", "I"])
def test_32_bit_images_need_a_range(mode: str) -> None:
    data = encode_image(Image.new(mode, (2, 2), 1), "TIFF")
    with pytest.raises(ImageError, match="value_range") as caught:
        read_image(data)
    assert caught.value.code == "float-needs-range"


def test_a_range_scales_numbers_and_clips_them() -> None:
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


def test_a_range_replaces_the_high_byte_of_16_bit_images() -> None:
    values = np.array([[0, 2048, 4095, 60000]], np.uint16)
    assert read_image(encode_image(values), value_range=(0, 4095))[0, :, 0].tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize("wrong", [(1, 0), (0, 0), (0, float("nan"))])
def test_a_range_must_ascend(wrong: tuple[float, float]) -> None:
    with pytest.raises(SettingsError, match="low < high"):
        read_image(GRAY, value_range=wrong)


# --- orientation -----------------------------------------------------------------------------------------------------

UPRIGHT = Image.fromarray(make_gradient((32, 48)))
ROTATED = {  # the pixels in the file of an upright image, by orientation
    1: UPRIGHT,
    2: UPRIGHT.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: UPRIGHT.transpose(Image.Transpose.ROTATE_180),
    4: UPRIGHT.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: UPRIGHT.transpose(Image.Transpose.TRANSPOSE),
    6: UPRIGHT.transpose(Image.Transpose.ROTATE_90),
    7: UPRIGHT.transpose(Image.Transpose.TRANSVERSE),
    8: UPRIGHT.transpose(Image.Transpose.ROTATE_270),
}


def encode_rotated(orientation: int, file_format: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return encode_image(ROTATED[orientation], file_format, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WebP", {"lossless": True}),
        ("JPEG", {"quality": 98, "subsampling": 0}),
    ],
    ids=["PNG", "TIFF", "TIFF-LZW", "WebP", "JPEG"],
)
def test_a_rotated_image_is_turned_upright_once(orientation: int, file_format: str, options: dict[str, Any]) -> None:
    rgb = read_image(encode_rotated(orientation, file_format, **options))
    allowed = 8 if file_format == "JPEG" else 0  # lossy
    assert rgb.shape == (32, 48, 3)
    assert np.abs(rgb.astype(int) - np.array(UPRIGHT)).max() <= allowed


def test_a_pil_image_from_a_file_is_read_like_its_file() -> None:
    data = encode_rotated(6, "PNG")
    assert np.array_equal(read_image(Image.open(io.BytesIO(data))), read_image(data))


def test_a_pil_image_that_is_upright_already_is_not_turned() -> None:
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(encode_rotated(6, "JPEG"))))
    assert np.array_equal(read_image(turned), np.array(turned))


def test_a_converted_pil_image_is_read_as_it_is() -> None:
    converted = Image.open(io.BytesIO(encode_rotated(6, "PNG"))).convert("RGB")
    assert np.array_equal(read_image(converted), np.array(converted))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_ignored() -> None:
    assert np.array_equal(read_image(encode_image(COLORS, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")), COLORS)


# --- sources ---------------------------------------------------------------------------------------------------------


def test_path_string_bytes_and_file_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "wrong_name.gif"
    path.write_bytes(encode_image(COLORS))
    with path.open("rb") as handle:
        for source in (path, str(path), path.read_bytes(), memoryview(path.read_bytes()), handle):
            assert np.array_equal(read_image(source), COLORS)


def test_an_rgb_array_is_returned_itself() -> None:
    assert read_image(COLORS) is COLORS


def test_images_from_files_are_writable() -> None:
    assert read_image(encode_image(COLORS)).flags.writeable


def test_reversed_channels_become_contiguous() -> None:
    assert read_image(COLORS[:, :, ::-1]).flags.c_contiguous


@pytest.mark.parametrize("array", [GRAY, GRAY[:, :, None]])
def test_gray_arrays_get_three_channels(array: Any) -> None:
    assert np.array_equal(read_image(array), repeat_channels(GRAY))


def test_a_boolean_array_is_black_and_white() -> None:
    assert np.array_equal(read_image(GRAY > 9), repeat_channels((GRAY > 9) * 255))


def test_a_16_bit_array_keeps_its_high_byte() -> None:
    with pytest.warns(MaskletWarning, match="depth-reduced"):
        assert np.array_equal(read_image(DEEP), repeat_channels(DEEP >> 8))


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
def test_a_source_that_is_no_image_is_refused(source: Any) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    assert caught.value.code == "bad-image"


def test_text_instead_of_bytes_is_refused() -> None:
    with pytest.raises(ImageError, match="binary file"):
        read_image(io.StringIO("text"))


def test_the_error_for_channels_first_says_how_to_transpose() -> None:
    with pytest.raises(ImageError, match=r"transpose\(1, 2, 0\)"):
        read_image(np.zeros((3, 40, 50), np.uint8))


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (1, 65536, 3)])
def test_arrays_with_impossible_sides_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(np.zeros(shape, np.uint8))
    assert caught.value.code == "bad-dimensions"


def test_tensors_have_their_channels_first() -> None:
    torch = pytest.importorskip("torch")
    planes = torch.from_numpy(COLORS.transpose(2, 0, 1).copy())
    for tensor in (planes, planes.float() / 255, (planes.double() / 255).requires_grad_()):
        assert np.array_equal(read_image(tensor), COLORS)


def test_half_precision_tensors_are_read_to_their_precision() -> None:
    torch = pytest.importorskip("torch")
    half = torch.from_numpy(COLORS.transpose(2, 0, 1).copy()).bfloat16() / 255
    assert np.abs(read_image(half).astype(int) - COLORS).max() <= 1  # bfloat16 has 8 bits


@pytest.mark.parametrize("shape", [(6, 9, 3), (2, 3, 6, 9), (5,)])
def test_tensors_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ImageError, match=r"tensor|image") as caught:
        read_image(torch.zeros(shape))
    assert caught.value.code == "bad-image"


def test_a_normalized_tensor_needs_a_range() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ImageError, match="normalized") as caught:
        read_image(torch.linspace(-2, 2, 16).reshape(4, 4))
    assert caught.value.code == "float-needs-range"


# --- refusals --------------------------------------------------------------------------------------------------------

OTHER_FILES = {
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
    "a file of unknown type": bytes(range(1, 40)),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_the_error_for_another_file_names_its_type(kind: str) -> None:
    with pytest.raises(ImageError, match=kind) as caught:
        read_image(OTHER_FILES[kind])
    assert caught.value.code == "unsupported-format"


def test_the_preview_of_a_raw_file_is_refused() -> None:
    with pytest.raises(ImageError, match="preview") as caught:
        read_image(tiff(3, 2, (8, 8, 8), 2, bytes(18), t254=1))
    assert caught.value.code == "unsupported-format"


def test_missing_files_are_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", "", tmp_path / "file" / "below"):
        with pytest.raises(InputNotFound) as caught:
            read_image(path)
        assert caught.value.code in {"input-not-found", "input-unreadable"}
        assert isinstance(caught.value, FileNotFoundError)


def test_the_error_for_a_web_address_says_to_download_it() -> None:
    with pytest.raises(InputNotFound, match="download it first"):
        read_image("https://example.org/a.png")


def test_folders_pipes_sockets_and_devices_are_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "socket", "/dev/null"):
        with pytest.raises(InputNotFound) as caught:
            read_image(path)
        assert caught.value.code == "input-unreadable"
    listener.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read every file")
def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encode_image(COLORS))
    path.chmod(0)
    with pytest.raises(InputNotFound) as caught:
        read_image(path)
    assert caught.value.code == "input-unreadable"


def test_a_name_with_a_nul_character_is_unreadable() -> None:
    with pytest.raises(InputNotFound):
        read_image("a\0b.png")


def test_empty_files_and_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for source in (tmp_path / "empty.png", b"", io.BytesIO()):
        with pytest.raises(InputNotFound) as caught:
            read_image(source)
        assert caught.value.code == "input-empty"


@pytest.mark.parametrize("file_format", FORMATS)
def test_more_pixels_than_allowed_are_refused_before_decoding(
    file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode_image(GREEN, file_format)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="16 × 8 = 128 pixels") as caught:
        read_image(data, max_pixels=127)
    assert (caught.value.code, caught.value.context["actual"]) == ("too-many-pixels", 128)


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    with pytest.raises(ImageError) as caught:
        read_image(png(60000, 60000, 8, 2, b""))
    assert caught.value.code == "too-many-pixels"


def test_a_large_image_below_the_limit_raises_no_warning_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(encode_image(GREEN)).shape == (8, 16, 3)


def test_a_side_beyond_65535_is_refused() -> None:
    with pytest.raises(ImageError) as caught:
        read_image(png(70000, 1, 8, 0, b""))
    assert caught.value.code == "bad-dimensions"


def test_the_largest_and_smallest_sides_are_read() -> None:
    assert read_image(encode_image(np.zeros((1, 65535), np.uint8))).shape == (1, 65535, 3)
    assert read_image(encode_image(np.zeros((1, 1), np.uint8))).shape == (1, 1, 3)


VARIANTS = encode_variants()


def read_or_code(data: bytes) -> Any:
    """Return the image or the code of its error; any other exception fails the test."""
    try:
        return read_image(data, max_pixels=2_000_000)
    except (ImageError, InputNotFound) as error:
        return error.code


def test_truncation_is_detected_when_pillow_accepts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageError) as caught:
        read_image(VARIANTS["JPEG"][:-100])
    assert caught.value.code == "image-truncated"


@pytest.mark.filterwarnings("ignore")
def test_damaged_content_is_broken() -> None:
    data = bytearray(VARIANTS["PNG"])
    place = data.index(b"IDAT")
    data[place + 10 : place + 200] = bytes(190)
    with pytest.raises(ImageError) as caught:
        read_image(bytes(data))
    assert caught.value.code == "image-broken"


def test_of_several_pages_or_frames_the_first_is_read_with_a_warning() -> None:
    red = Image.new("RGB", (16, 8), (255, 0, 0))
    for file_format, options in (("TIFF", {}), ("PNG", {}), ("WebP", {"lossless": True})):
        with pytest.warns(MaskletWarning, match="first-picture-only"):
            data = encode_image(GREEN, file_format, save_all=True, append_images=[red], **options)
            assert read_image(data)[0, 0].tolist() == [0, 120, 0]


def test_a_warning_points_at_the_calling_line() -> None:
    with pytest.warns(MaskletWarning) as caught:
        read_image(DEEP)
    assert caught[0].filename == __file__


def test_a_length_beyond_the_end_of_a_file_allocates_no_memory(tmp_path: Path) -> None:
    data = bytearray(VARIANTS["PNG"])
    place = data.index(b"IDAT")
    data[place - 4 : place] = b"\x7f\xff\xff\xff"
    path = tmp_path / "a.png"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert np.array_equal(read_image(path), make_gradient())  # its pixels are complete
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_settings_of_pillow_are_not_changed() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    read_image(encode_image(COLORS))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)

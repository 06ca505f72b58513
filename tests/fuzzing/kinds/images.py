"""Images: every format that `read_image` reads, in several encodings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from fuzzing.mutation import mutate_bytes, mutate_head
from fuzzing.target import Target, require
from masklet import read_image
from masklet.errors import ImageError, InputNotFound
from support.image_files import FORMATS, encode_image, png, tiff

MAX_PIXELS = 2_000_000


def make_gradient(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Make an image (H, W, 3) in which every pixel differs from its neighbors."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([x * 255 // size[1], y * 255 // size[0], (x + y) % 64 + 90], axis=2).astype(np.uint8)


def encode_variants() -> dict[str, bytes]:
    """Encode an image in each format, and in each encoding that another decoder reads."""
    image = make_gradient()
    return {
        **{file_format: encode_image(image, file_format) for file_format in FORMATS},
        "JPEG progressive": encode_image(image, "JPEG", progressive=True),
        "WebP lossless": encode_image(image, "WebP", lossless=True),
        "TIFF LZW": encode_image(image, "TIFF", compression="tiff_lzw"),
        "TIFF deflate": encode_image(image, "TIFF", compression="tiff_adobe_deflate"),
        "PNG palette": encode_image(Image.fromarray(image).quantize(16)),
        "PNG 16": encode_image(np.random.default_rng(1).integers(0, 65536, (48, 64), dtype=np.uint16)),
    }


def _encode_more() -> dict[str, bytes]:
    image = make_gradient()
    exif = Image.Exif()
    exif[274] = 6
    frames = [Image.fromarray(np.roll(image, 9 * number, 1)) for number in range(3)]
    return {
        "JPEG CMYK": encode_image(Image.fromarray(image).convert("CMYK"), "JPEG"),
        "JPEG EXIF": encode_image(image, "JPEG", exif=exif),
        "PNG EXIF": encode_image(image, "PNG", exif=exif),
        "PNG frames": encode_image(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "PNG transparent": png(8, 4, 8, 2, bytes(range(96)), tRNS=b"\0\0\0\1\0\2"),
        "TIFF pages": encode_image(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "TIFF JPEG": encode_image(image, "TIFF", compression="jpeg"),
        "TIFF float": encode_image(image[..., 0].astype(np.float32), "TIFF"),
        "TIFF 16": tiff(8, 4, (16, 16, 16), 2, bytes(range(192))),
        "WebP frames": encode_image(frames[0], "WebP", save_all=True, append_images=frames[1:]),
    }


def _check(path: Path) -> None:
    image = read_image(path, max_pixels=MAX_PIXELS, value_range=(0, 255))
    require(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, f"{image.shape} {image.dtype}")
    require(0 < image.shape[0] * image.shape[1] <= MAX_PIXELS, f"{image.shape} is above the limit")


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets, one for each format."""
    encoded = {**encode_variants(), **_encode_more()}
    targets = []
    for file_format in FORMATS:
        seeds = [content for name, content in encoded.items() if name.split()[0] == file_format]
        path = folder / f"image.{file_format.lower()}"
        targets.append(
            Target(file_format.lower(), path, seeds, partial(_check, path), _mutate, (ImageError, InputNotFound))
        )
    yield targets


def _mutate(content: bytes, rng: Random) -> bytes:
    return (mutate_bytes if rng.random() < 0.6 else mutate_head)(content, rng)

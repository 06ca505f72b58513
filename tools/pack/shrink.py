"""Smaller copies of packs and labeled images, for training on another machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
from numpy.typing import NDArray

from masklet.files.atomic import atomic_write
from masklet.synthetic.engine.real_samples import open_real_images, read_labeled_image
from masklet.synthetic.image_filters import fit, fit_size, resize_labels
from masklet.synthetic.pack import INDEX, Asset, Kind, Pack, encode_webp, write_pack
from masklet.synthetic.rendering.render_cache import decode_parts, render_pack


class SizeLimit(NamedTuple):
    """Maximum of the longer side of an image in pixels, and quality of its file."""

    side: int
    quality: int


SIZE_LIMITS: Mapping[Kind, SizeLimit] = {
    "cutout": SizeLimit(192, 80),
    "shaded": SizeLimit(160, 72),
    "drawing": SizeLimit(144, 70),
    "photograph": SizeLimit(448, 74),
    "texture": SizeLimit(192, 66),
    "render": SizeLimit(160, 80),
}
REAL_SIZE_LIMIT = SizeLimit(384, 76)


def shrink_pack(pack: Pack, root: Path) -> Pack:
    """Write a copy of a pack to `root`, with images of at most `SIZE_LIMITS` and with renderings for meshes."""
    kinds: tuple[Kind, ...] = ("cutout", "shaded", "drawing", "photograph", "texture")
    images = [_shrink(pack, asset) for asset in pack.of(*kinds, held_out=None)]
    return write_pack(root, pack.policy, [*images, *_shrink_renderings(render_pack(pack))])


def shrink_images(index: Path, folder: Path) -> Path:
    """Write a copy of the labeled images of an index file to `folder`, without its clips.

    Args:
        index: An index file, see `masklet.synthetic.engine.real_samples`.
        folder: Folder of the copy.

    Returns:
        The index file of the copy.
    """
    rows = []
    for number, entry in enumerate(open_real_images(index, 256, 0).entries):
        image, labels = read_labeled_image(entry.image, entry.mask)
        image = fit(image, REAL_SIZE_LIMIT.side)
        name = f"{number:05d}"
        _write_image(folder / f"{name}.jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, REAL_SIZE_LIMIT.quality])
        _write_image(folder / f"{name}.png", resize_labels(labels, (image.shape[0], image.shape[1])), [])
        fields = {"objects": entry.names, "exhaustive": entry.exhaustive, "source": entry.source}
        rows.append({"image": f"{name}.jpg", "mask": f"{name}.png", **fields})
    with atomic_write(folder / INDEX) as file:
        file.write(json.dumps({"images": rows, "clips": []}).encode())
    return folder / INDEX


def _shrink(pack: Pack, asset: Asset) -> tuple[Asset, bytes]:
    limit = SIZE_LIMITS[asset.kind]
    image = fit(pack.read_image(asset), limit.side)
    return replace(asset, size=image.shape[:2]), encode_webp(image, limit.quality)


def _shrink_renderings(renderings: Pack) -> Iterator[tuple[Asset, bytes]]:
    """Shrink renderings, and the part numbers that follow some of them to the same size."""
    for asset in renderings.of("render", "parts", held_out=None):
        if asset.kind == "render":
            yield _shrink(renderings, asset)
            continue
        size = fit_size(asset.size, SIZE_LIMITS["render"].side)
        small = resize_labels(decode_parts(renderings, asset), size)
        yield replace(asset, size=size), cv2.imencode(".png", small)[1].tobytes()


def _write_image(path: Path, pixels: NDArray[Any], options: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(cv2.imencode(path.suffix, pixels, options)[1].tobytes())

"""Packs and labelled pictures made small enough to be sent along, for training at moderate sizes on another machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
from numpy.typing import NDArray

from masklet.files.atomic import atomic_write
from masklet.synthetic.engine.image_filters import relabelled
from masklet.synthetic.engine.real_samples import read_labelled, real_pictures
from masklet.synthetic.packs.pack import INDEX, Asset, Kind, Pack, encode_picture, write_pack
from masklet.synthetic.packs.selection import fit, fitted_size
from masklet.synthetic.rendering.render_cache import decode_parts, rendered


class Room(NamedTuple):
    """How large pictures of a kind stay: their long side in pixels, and the quality of their compression."""

    side: int
    quality: int


ROOMS: Mapping[Kind, Room] = {
    "cutout": Room(192, 80),
    "shaded": Room(160, 72),
    "drawing": Room(144, 70),
    "photograph": Room(448, 74),
    "texture": Room(192, 66),
    "render": Room(160, 80),
}
REAL = Room(384, 76)


def lean_pack(pack: Pack, root: Path) -> Pack:
    """A copy of `pack` at `root`, whose pictures are as `ROOMS` says and whose meshes are replaced by their views."""
    kinds: tuple[Kind, ...] = ("cutout", "shaded", "drawing", "photograph", "texture")
    pictures = [_shrunk(pack, asset) for asset in pack.of(*kinds, held_out=None)]
    return write_pack(root, pack.policy, [*pictures, *_views(rendered(pack))])


def lean_pictures(index: Path, folder: Path) -> Path:
    """A copy of the labelled pictures of an index (see `data.engine.real`) without its clips; gives its own index."""
    rows = []
    for number, entry in enumerate(real_pictures(index, 256, 0).entries):
        image, labels = read_labelled(entry.image, entry.mask)
        image = fit(image, REAL.side)
        name = f"{number:05d}"
        _write(folder / f"{name}.jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, REAL.quality])
        _write(folder / f"{name}.png", relabelled(labels, (image.shape[0], image.shape[1])), [])
        told = {"objects": entry.names, "exhaustive": entry.exhaustive, "source": entry.source}
        rows.append({"image": f"{name}.jpg", "mask": f"{name}.png", **told})
    with atomic_write(folder / INDEX) as file:
        file.write(json.dumps({"images": rows, "clips": []}).encode())
    return folder / INDEX


def _shrunk(pack: Pack, asset: Asset) -> tuple[Asset, bytes]:
    room = ROOMS[asset.kind]
    picture = fit(pack.picture(asset), room.side)
    return replace(asset, size=picture.shape[:2]), encode_picture(picture, room.quality)


def _views(renders: Pack) -> Iterator[tuple[Asset, bytes]]:
    """Renderings and the part numbers that follow some of them, both shrunk alike."""
    for asset in renders.of("render", "parts", held_out=None):
        if asset.kind == "render":
            yield _shrunk(renders, asset)
            continue
        size = fitted_size(asset.size, ROOMS["render"].side)
        small = relabelled(decode_parts(renders, asset), size)
        yield replace(asset, size=size), cv2.imencode(".png", small)[1].tobytes()


def _write(path: Path, pixels: NDArray[Any], options: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(cv2.imencode(path.suffix, pixels, options)[1].tobytes())

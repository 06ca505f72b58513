"""Outlines that people drew on a pack's photographs, as a data set to train on.

`marks.json` beside this file names each photograph by package and path, with the size at which it was marked and its
objects: a name, outlines [x0, y0, x1, y1, …] in pixels, and holes where what is behind shows through. Objects may lie
within others: a head, a handle. The outlines are masklet's own and have its licence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet import rle
from masklet.atomic import atomic_write
from masklet.data.packs.pack import Asset, Pack
from masklet.data.readers.polygons import polygon_mask
from masklet.errors import FormatError, ResourceError

ANNOTATIONS, IMAGES = "annotations.json", "images"


def marks() -> dict[str, Any]:
    """All marks by `package/path`."""
    return dict(json.loads(files("masklet.data.packs").joinpath("marks.json").read_text("utf-8")))


def write_marked(
    pack: Pack,
    output: Path,
    *,
    held_out: bool = False,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> tuple[int, int]:
    """Write the marked photographs of a pack as a COCO data set: how many pictures, how many objects.

    Those to train on or, with `held_out`, those to validate on. Raises `ResourceError` where `output` holds a set
    already, `FormatError` for a pack without any marked photograph.
    """
    if (output / ANNOTATIONS).exists():
        raise ResourceError("output-exists", f"{output} holds a data set", hint="name another folder, or remove it")
    known = marks()
    marked = [asset for asset in pack.of("photograph", held_out=held_out) if _name(asset) in known]
    if not marked:
        raise FormatError("dataset-broken", f"{pack.root}: none of its photographs is marked; build the pack again")
    (output / IMAGES).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for number, asset in enumerate(marked, start=1):
        file = f"{number:04d}.webp"
        with atomic_write(output / IMAGES / file) as stream:
            stream.write(pack.read(asset))
        height, width = asset.size
        images.append({"id": number, "file_name": file, "height": height, "width": width, "license": asset.licence})
        objects += [_object(number, mark["name"], mask) for mark, mask in _masks(known[_name(asset)], asset.size)]
        progress(number, len(marked))
    names = sorted({entry["name"] for entry in objects})
    for key, entry in enumerate(objects, start=1):
        entry |= {"id": key, "category_id": 1 + names.index(entry.pop("name"))}
    categories = [{"id": key, "name": name} for key, name in enumerate(names, start=1)]
    with atomic_write(output / ANNOTATIONS) as stream:
        stream.write(json.dumps({"images": images, "annotations": objects, "categories": categories}).encode())
    return len(images), len(objects)


def _name(asset: Asset) -> str:
    return f"{asset.package}/{asset.path}"


def _masks(entry: Mapping[str, Any], size: tuple[int, int]) -> list[tuple[Mapping[str, Any], NDArray[np.bool_]]]:
    """The marks of a photograph with their masks at another size (H, W)."""
    scale = np.array([size[1] / entry["size"][1], size[0] / entry["size"][0]])
    return [(mark, _mask(mark, scale, size)) for mark in entry["objects"]]


def _mask(mark: Mapping[str, Any], scale: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    outlines, holes = (
        [np.reshape(outline, (-1, 2)) * scale for outline in mark.get(kind, ())] for kind in ("outlines", "holes")
    )
    return np.asarray(polygon_mask(outlines, size) & ~polygon_mask(holes, size))


def _object(image: int, name: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    code = rle.encode(mask)
    return {
        "image_id": image,
        "name": name,
        "bbox": rle.xywh(code),
        "area": rle.area(code),
        "iscrowd": 0,
        "segmentation": code,
    }

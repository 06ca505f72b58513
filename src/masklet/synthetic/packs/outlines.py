"""Outlines of objects in a pack's photographs, as a data set to train on.

`marks.json` beside this file names each photograph by package and path, with the size at which it was marked and its
objects: a name, outlines [x0, y0, x1, y1, …] in pixels, and holes where what is behind shows through. Objects may lie
within others: a head, a handle. Those that are `by` a model it proposed, and people looked at and kept
(`masklet.synthetic.proposals`): they have a run-length code, `mask`. All are masklet's own and have its license.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import Images
from masklet.errors import FormatError, ResourceError
from masklet.files.atomic import atomic_write
from masklet.files.outputs import output_exists
from masklet.masks import rle
from masklet.masks.polygons import rasterize
from masklet.synthetic.coco_writer import ANNOTATIONS, IMAGES, Labelled, write_annotations
from masklet.synthetic.packs.pack import Pack


def marks() -> dict[str, Any]:
    """All marks by `package/path`."""
    return dict(json.loads(files("masklet.synthetic.packs").joinpath("marks.json").read_text("utf-8")))


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
    if output_exists(output / ANNOTATIONS):
        raise ResourceError("output-exists", f"{output} holds a data set", hint="name another folder, or remove it")
    known = marks()
    marked = [asset for asset in pack.of("photograph", held_out=held_out) if asset.name in known]
    if not marked:
        raise FormatError("dataset-broken", f"{pack.root}: none of its photographs is marked; build the pack again")
    (output / IMAGES).mkdir(parents=True, exist_ok=True)
    written: list[Labelled] = []
    for number, asset in enumerate(marked, start=1):
        file = f"{number:04d}.webp"
        with atomic_write(output / IMAGES / file) as stream:
            stream.write(pack.read(asset))
        found = [(mark["name"], rle.encode(mask)) for mark, mask in _masks(known[asset.name], asset.size)]
        written.append(Labelled(file, asset.size, found, asset.licence))
        progress(number, len(marked))
    return write_annotations(output, written)


def marked_in(pictures: Images, by: str = "") -> dict[str, Any]:
    """Annotated pictures, which are called like photographs of a pack, as entries of `marks.json`."""
    annotations = {picture.name: picture.annotation() for picture in pictures}
    return {
        name: {
            "size": list(one.size),
            "objects": [_mark(one.categories[key], one.mask(key), by) for key in one.object_ids],
        }
        for name, one in annotations.items()
    }


def written(entries: Mapping[str, Any]) -> str:
    """The text of `marks.json`: a line for each photograph, in the order of their names."""
    rows = [f"{json.dumps(name)}: {json.dumps(one, separators=(',', ':'))}" for name, one in sorted(entries.items())]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _mark(name: str, mask: NDArray[np.bool_], by: str) -> dict[str, Any]:
    return {"name": name, **({"by": by} if by else {}), "mask": rle.encode(mask)}


def _masks(entry: Mapping[str, Any], size: tuple[int, int]) -> list[tuple[Mapping[str, Any], NDArray[np.bool_]]]:
    """The marks of a photograph with their masks at another size (H, W)."""
    scale = np.array([size[1] / entry["size"][1], size[0] / entry["size"][0]])
    return [(mark, _mask(mark, scale, size)) for mark in entry["objects"]]


def _mask(mark: Mapping[str, Any], scale: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    if "mask" in mark:
        pixels = rle.decode(mark["mask"]).view(np.uint8)
        return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(bool))
    outlines, holes = (
        [np.reshape(outline, (-1, 2)) * scale for outline in mark.get(kind, ())] for kind in ("outlines", "holes")
    )
    return np.asarray(rasterize(outlines, size) & ~rasterize(holes, size))

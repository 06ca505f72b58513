"""Outlines of objects in a pack's photographs, and the COCO dataset of the outlined photographs.

`marks.json` has an entry for each photograph, by package and path: the size at which it was outlined, and its objects.
An object has a name, `outlines` [x0, y0, x1, y1, …] in pixels, and `holes` of the same form where the background is
visible. Objects may lie inside other objects, such as a head or a handle. An object that a model proposed and a person
kept (`masklet.synthetic.proposals`) has the model's name in `by`, and a run-length code in `mask`. With `by` "outline,
GrabCut and matting", `mask` is the majority of an outline drawn by eye, GrabCut and closed-form matting, the two in a
narrow band around the outline. All outlines were made for masklet and have its license.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import Images
from masklet.datasets.layouts import open_images
from masklet.errors import FormatError, ResourceError
from masklet.files.atomic import atomic_write
from masklet.files.json_fields import read_fields
from masklet.files.outputs import output_exists
from masklet.masks import rle
from masklet.masks.polygons import rasterize
from masklet.synthetic.coco_writer import ANNOTATIONS, IMAGES, LabeledImage, write_annotations
from masklet.synthetic.pack import Pack

OUTLINES_FILE = Path(__file__).with_name("marks.json")


def read_outlines(path: Path = OUTLINES_FILE) -> dict[str, Any]:
    """Read the entries of an outlines file by `package/path` of the photograph."""
    return read_fields(path).value


def write_outlined_photographs(
    pack: Pack,
    output: Path,
    *,
    outlines: Mapping[str, Any] | None = None,
    held_out: bool = False,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> tuple[int, int]:
    """Write the outlined photographs of a pack as a COCO dataset.

    Args:
        pack: The pack.
        output: Folder of the dataset.
        outlines: Entries of an outlines file; by default those of `marks.json`.
        held_out: Write the photographs held out for validation instead of those for training.
        progress: Called as `progress(done, count)` after each photograph.

    Returns:
        The numbers of images and objects.

    Raises:
        ResourceError: `output` already has a dataset, or cannot be written.
        FormatError: No photograph of the pack is outlined.
    """
    if output_exists(output / ANNOTATIONS):
        hint = "choose another folder, or remove this one"
        raise ResourceError("output-exists", f"{output} already has a dataset", hint=hint)
    entries = read_outlines() if outlines is None else outlines
    photographs = [asset for asset in pack.of("photograph", held_out=held_out) if asset.name in entries]
    if not photographs:
        message = f"{pack.root}: none of its photographs is outlined; build the pack again"
        raise FormatError("dataset-broken", message)
    (output / IMAGES).mkdir(parents=True, exist_ok=True)
    images: list[LabeledImage] = []
    for number, asset in enumerate(photographs, start=1):
        file = f"{number:04d}.webp"
        with atomic_write(output / IMAGES / file) as stream:
            stream.write(pack.read(asset))
        masks = rasterize_outlines(entries[asset.name], asset.size)
        objects = [(outline["name"], rle.encode(mask)) for outline, mask in masks]
        images.append(LabeledImage(file, asset.size, objects, asset.license))
        progress(number, len(photographs))
    return write_annotations(output, images)


def add_outlines(proposals: Path, pack: Pack, *, by: str, path: Path = OUTLINES_FILE) -> tuple[int, int]:
    """Add the kept proposals for photographs of a pack to an outlines file.

    Args:
        proposals: Folder with the kept proposals as a COCO dataset.
        pack: The pack with the photographs.
        by: Name of the model that proposed the masks.
        path: The outlines file.

    Returns:
        The numbers of added photographs and objects.

    Raises:
        FormatError: An image is not one of the pack's photographs for training, or is already outlined.
    """
    entries, added = read_outlines(path), collect_outlines(open_images(proposals), by=by)
    unknown = added.keys() - {asset.name for asset in pack.of("photograph")}
    if unknown:
        message = f"{proposals}: {min(unknown)} is not a training photograph of {pack.root}; remove it from keep.txt"
        raise FormatError("dataset-broken", message)
    present = entries.keys() & added.keys()
    if present:
        message = f"{proposals}: {min(present)} is already outlined in {path}; remove it from keep.txt"
        raise FormatError("dataset-broken", message)
    with atomic_write(path) as stream:
        stream.write(format_outlines(entries | added).encode())
    return len(added), sum(len(entry["objects"]) for entry in added.values())


def collect_outlines(images: Images, by: str = "") -> dict[str, Any]:
    """Return the annotations of images as entries of an outlines file; the images are named like photographs."""
    annotations = {image.name: image.annotation() for image in images}
    return {
        name: {
            "size": list(annotation.size),
            "objects": [
                _make_outline(annotation.categories[key], annotation.mask(key), by) for key in annotation.object_ids
            ],
        }
        for name, annotation in annotations.items()
    }


def format_outlines(entries: Mapping[str, Any]) -> str:
    """Format an outlines file with one line per photograph, sorted by name."""
    rows = [
        f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in sorted(entries.items())
    ]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def rasterize_outlines(
    entry: Mapping[str, Any], size: tuple[int, int]
) -> list[tuple[Mapping[str, Any], NDArray[np.bool_]]]:
    """Return the objects of a photograph, each with its mask (H, W) bool at `size` (H, W)."""
    scale = np.array([size[1] / entry["size"][1], size[0] / entry["size"][0]])
    return [(outline, _rasterize(outline, scale, size)) for outline in entry["objects"]]


def _make_outline(name: str, mask: NDArray[np.bool_], by: str) -> dict[str, Any]:
    return {"name": name, **({"by": by} if by else {}), "mask": rle.encode(mask)}


def _rasterize(outline: Mapping[str, Any], scale: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    if "mask" in outline:
        pixels = rle.decode(outline["mask"]).view(np.uint8)
        return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(bool))
    polygons, holes = (
        [np.reshape(points, (-1, 2)) * scale for points in outline.get(kind, ())] for kind in ("outlines", "holes")
    )
    return np.asarray(rasterize(polygons, size) & ~rasterize(holes, size))

"""Masks of objects that are found by reference images, in images that show the same object, another one, or its kind.

Each folder of --references and --judge has annotated images of one object. Reference images are spread evenly over one
folder, and every fifth image of another folder, or of the rest of the same one, is searched. IoU is the mean with the
object of the searched folder, also where the reference images show another object. Found is the share of images with a
mask. For each of --categories, the images of --kinds that show it in at least 1 % of their pixels are one set, in which
IoU is that with all objects of the category, and every image is searched.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import masklet
from masklet.datasets.dataset import Images
from masklet.datasets.layouts import open_images
from masklet.masks.iou import mask_iou
from masklet.predict.references import References
from masklet.prompts import mask
from masklet.segmenter import Segmenter

NUM_REFERENCES = (1, 3)
STEP = 5  # one image in so many is searched in a folder
MIN_SHARE = 0.01  # of the pixels of an image that show a category


@dataclass(frozen=True)
class ImageSet:
    """Images of one object, or of one category."""

    name: str
    images: Images
    names: Sequence[str]
    category: str | None = None

    def read(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read an image and the mask of its objects of the category."""
        image, annotation = self.images[name].read()
        ids = [i for i in annotation.object_ids if self.category in (None, annotation.categories.get(i))]
        masks = [annotation.mask(object_id) for object_id in ids]
        return image, np.any([np.zeros(annotation.size, bool), *masks], axis=0)


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every pair of folders and every category and return one row for each number of reference images."""
    parser = argparse.ArgumentParser(prog="scripts/bench references", description=__doc__)
    parser.add_argument("--references", type=Path, nargs="+", default=[], help="folders of reference images")
    parser.add_argument("--judge", type=Path, nargs="+", default=[], help="folders of images to search")
    parser.add_argument("--kinds", type=Path, help="annotated images with categories")
    parser.add_argument("--categories", nargs="+", default=[])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    model = masklet.load(options.model, device=options.device)
    sources, targets = ([_open_folder(path) for path in paths] for paths in (options.references, options.judge))
    pairs = [(source, target, STEP) for source in sources for target in targets]
    kinds = [_open_category(options.kinds, category) for category in options.categories]
    pairs += [(kind, kind, 1) for kind in kinds]
    return [
        {"device": options.device, "references": source.name, "judge": target.name, "count": count}
        | _measure(model, source, target, count, step)
        for source, target, step in pairs
        for count in NUM_REFERENCES
    ]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("references", "reference images", "{}"),
        ("count", "number", "{}"),
        ("judge", "searched images", "{}"),
        ("searched", "number", "{}"),
        ("iou", "IoU, %", "{:.1f}"),
        ("found", "found, %", "{:.0f}"),
    ]


def _open_folder(path: Path) -> ImageSet:
    images = open_images(path)
    return ImageSet(path.name, images, images.names)


def _open_category(path: Path, category: str) -> ImageSet:
    images = open_images(path)
    everything = ImageSet(category, images, images.names, category)
    names = [name for name in images.names if everything.read(name)[1].mean() >= MIN_SHARE]
    return ImageSet(category, images, names, category)


def _measure(model: Segmenter, source: ImageSet, target: ImageSet, count: int, step: int) -> dict[str, Any]:
    references = References(model.backend, model.view)
    marked = [source.names[int((k + 0.5) * len(source.names) / count)] for k in range(count)]
    for name in marked:
        image, annotated = source.read(name)
        references.add(image, mask(annotated))
    is_same = target.name == source.name
    searched = [name for name in target.names[::step] if not (is_same and name in marked)]
    ious, found = [], []
    for name in searched:
        image, annotated = target.read(name)
        masks = references.segment(image).binary
        ious.append(mask_iou(masks, annotated[None])[0, 0])
        found.append(masks.any())
    return {"searched": len(searched), "iou": 100 * float(np.mean(ious)), "found": 100 * float(np.mean(found))}

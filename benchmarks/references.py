"""Masks of objects that are found by reference images, in images that show the same object, another one, or none.

Each folder has annotated images of one object. Reference images are spread evenly over one folder, and every --step-th
image of another folder, or the rest of the same one, is searched. IoU is the mean with the object of the searched
folder, also where the reference images show another object. Found is the share of images with a mask.
"""

from __future__ import annotations

import argparse
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


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every pair of folders with every number of reference images and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench references", description=__doc__)
    parser.add_argument("--references", type=Path, nargs="+", required=True, help="folders of reference images")
    parser.add_argument("--judge", type=Path, nargs="+", required=True, help="folders of images to search")
    parser.add_argument("--step", type=int, default=5)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    model = masklet.load(options.model, device=options.device)
    folders = {path: open_images(path) for path in {*options.references, *options.judge}}
    return [
        {"device": options.device, "references": source.name, "judge": target.name, "count": count}
        | _measure(model, folders[source], folders[target], count, options.step)
        for source in options.references
        for target in options.judge
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


def _measure(model: Segmenter, source: Images, target: Images, count: int, step: int) -> dict[str, Any]:
    references = References(model.backend, model.view)
    marked = [source.names[int((k + 0.5) * len(source.names) / count)] for k in range(count)]
    for name in marked:
        image, annotated = _read(source, name)
        references.add(image, mask(annotated))
    searched = [name for name in target.names[::step] if target is not source or name not in marked]
    ious, found = [], []
    for name in searched:
        image, annotated = _read(target, name)
        masks = references.segment(image).binary
        ious.append(mask_iou(masks, annotated[None])[0, 0])
        found.append(masks.any())
    return {"searched": len(searched), "iou": 100 * float(np.mean(ious)), "found": 100 * float(np.mean(found))}


def _read(images: Images, name: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read an image and the mask of all its objects."""
    image, annotation = images[name].read()
    return image, np.any([annotation.mask(object_id) for object_id in annotation.object_ids], axis=0)

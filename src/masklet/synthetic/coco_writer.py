"""COCO writer: `annotations.json` beside the folder `images`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from masklet.files.atomic import atomic_write
from masklet.masks import rle

ANNOTATIONS, IMAGES = "annotations.json", "images"


class LabeledImage(NamedTuple):
    """An image with its objects.

    Attributes:
        file: Path of the image in `images`.
        size: Size of the image (H, W).
        objects: Name and run-length code (`rle.encode`) of each object.
        license: License of the image.
    """

    file: str
    size: tuple[int, int]
    objects: Sequence[tuple[str, Mapping[str, Any]]]
    license: str = ""


def write_annotations(folder: Path, labeled_images: Iterable[LabeledImage]) -> tuple[int, int]:
    """Write the annotation file for the images in `folder/images`.

    Args:
        folder: Folder of the dataset.
        labeled_images: The images with their objects.

    Returns:
        The numbers of images and objects.

    Raises:
        ResourceError: The file cannot be written.
    """
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for number, (file, (height, width), masks, license) in enumerate(labeled_images, start=1):
        images.append({"id": number, "file_name": file, "height": height, "width": width, "license": license})
        objects += [{"image_id": number, "name": name, **_format_mask(mask)} for name, mask in masks]
    names = sorted({entry["name"] for entry in objects})
    for key, entry in enumerate(objects, start=1):
        entry |= {"id": key, "category_id": 1 + names.index(entry.pop("name"))}
    categories = [{"id": key, "name": name} for key, name in enumerate(names, start=1)]
    with atomic_write(folder / ANNOTATIONS) as stream:
        stream.write(json.dumps({"images": images, "annotations": objects, "categories": categories}).encode())
    return len(images), len(objects)


def _format_mask(mask: Mapping[str, Any]) -> dict[str, Any]:
    return {"bbox": rle.compute_coco_box(mask), "area": rle.compute_area(mask), "iscrowd": 0, "segmentation": mask}

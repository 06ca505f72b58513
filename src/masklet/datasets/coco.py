"""COCO and LVIS datasets: images with instance masks in one JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation
from masklet.datasets.dataset import AnnotatedImage, Dataset, Images
from masklet.errors import FormatError, InputNotFound
from masklet.files.json_fields import Fields, read_fields
from masklet.files.names import check_relative
from masklet.formats.coco import CocoAnnotation, CocoImage, parse
from masklet.images import read_image

LICENSE = "annotations CC BY 4.0; each image has its own license, see the JSON file"


def open_coco(annotations: Path, images: Path | None = None) -> Images:
    """Open the images of a COCO or LVIS instance file that have masks, named by their file names.

    Args:
        annotations: The JSON file.
        images: Folder of the images. By default the first of `images`, the split's folder (`val2017`), and the file's
            folder, beside the file or one level above, that has the first image.

    Object ids are those of `masklet.formats.coco.parse`. Raises `InputNotFound` or `FormatError`.
    """
    images_by_name = {_file_name(image.fields): image for image in parse(read_fields(annotations)) if image.objects}
    if not images_by_name:
        raise FormatError("dataset-broken", f"{annotations}: no image in it has masks; pass an instances file")
    folder = images or _find_folder(next(iter(images_by_name)), annotations)
    build = partial(_build_image, folder, images_by_name)
    return Dataset("coco", annotations.stem, annotations, LICENSE, tuple(images_by_name), build)


def _file_name(row: Fields) -> str:
    """Return the file name of an image, after checking that it stays in the image folder."""
    if "file_name" in row:
        return check_relative(row.get("file_name"), row.source)
    # LVIS v1 has no file names: the URL ends in the split and the name.
    return check_relative("/".join(row.text("coco_url").split("/")[-2:]), row.source)


def _find_folder(file: str, annotations: Path) -> Path:
    split = annotations.stem.split("_")[-1]
    places = [base / name for base in (annotations.parent, annotations.parent.parent) for name in ("images", split, "")]
    image_folder = next((base for base in places if (base / file).is_file()), None)
    if image_folder is None:
        message = f"{places[0] / file}: no such image, nor in {split} beside it; pass the image folder"
        raise InputNotFound("input-not-found", message, path=str(annotations))
    return image_folder


def _build_image(folder: Path, named: Mapping[str, CocoImage], name: str) -> AnnotatedImage:
    return AnnotatedImage(name, partial(read_image, folder / name), partial(_build_annotation, named[name]))


def _build_annotation(image: CocoImage) -> Annotation:
    decoders = {key: partial(_decode_mask, parts) for key, parts in image.objects.items()}
    return Annotation(image.size, decoders, categories={key: parts[0].category for key, parts in image.objects.items()})


def _decode_mask(parts: list[CocoAnnotation]) -> NDArray[np.bool_]:
    if len(parts) == 1:
        return parts[0].mask()
    return np.asarray(np.logical_or.reduce([part.mask() for part in parts]))

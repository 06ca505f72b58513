"""COCO and LVIS datasets: images with instance masks in one JSON file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation
from masklet.datasets.dataset import AnnotatedImage, Dataset, Images
from masklet.errors import FormatError, InputNotFound
from masklet.files.error_translation import translate_read_errors
from masklet.files.json_fields import Fields, read_json
from masklet.files.names import check_relative, clean_file_name
from masklet.formats.coco_reader import CocoAnnotation, CocoImage, list_image_folders, parse
from masklet.formats.skipped import SkippedAnnotations
from masklet.images import read_image

LICENSE = "annotations CC BY 4.0; each image has its own license, see the JSON file"
LVIS_LICENSE = "see the dataset's page"
_RELEASED = re.compile(r"instances_(train|val|test)20\d\d")  # files of COCO itself
_SHOWN = 200  # characters of the licenses that a file states


def open_coco(annotations: Path, images: Path | None = None) -> Images:
    """Open the images of a COCO or LVIS instance file that have masks, named by their file names.

    Args:
        annotations: The JSON file.
        images: Folder of the images. By default the first of `list_image_folders` that has one of the images.

    Object ids are those of `masklet.formats.coco_reader.parse`. Annotations that cannot be read are skipped with a
    warning. Raises `InputNotFound` or `FormatError`.
    """
    file, skipped = _read_file(annotations), SkippedAnnotations(annotations)
    parsed = parse(file, skipped, [images] if images else list_image_folders(annotations))
    images_by_name = {_file_name(image.fields): image for image in parsed if image.objects}
    if not images_by_name:
        skipped.require_readable()
        raise FormatError("dataset-broken", f"{annotations}: no image in it has masks; pass an instances file")
    skipped.warn()
    folder = images or _find_folder(images_by_name, annotations)
    build = partial(_build_image, folder, images_by_name)
    return Dataset("coco", annotations.stem, annotations, _find_license(file), tuple(images_by_name), build)


def _find_license(file: Fields) -> str:
    """Return the license of a dataset: that of COCO or LVIS, else what the file states."""
    name = Path(file.source).stem.lower()
    if _RELEASED.fullmatch(name):
        return LICENSE
    if name.startswith("lvis"):
        return LVIS_LICENSE
    rows = file.get("licenses")
    names = [row.get("name") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    stated = ", ".join(dict.fromkeys(name for name in names if isinstance(name, str) and name.strip()))
    return f"{stated[:_SHOWN]} (by the file)" if stated else "your own"


def _read_file(path: Path) -> Fields:
    content = read_json(path)
    if isinstance(content, list):
        message = f"{path} is a list, as of COCO results, which has no images; pass an instances file"
        raise FormatError("annotation-broken", message, path=str(path))
    return Fields(content, path)


def _file_name(row: Fields) -> str:
    """Return the file name of an image, after checking that it stays in the image folder."""
    if "file_name" in row:
        return check_relative(clean_file_name(row.get("file_name")), row.source)
    # LVIS v1 has no file names: the URL ends in the split and the name.
    return check_relative("/".join(row.text("coco_url").split("/")[-2:]), row.source)


def _find_folder(names: Iterable[str], annotations: Path) -> Path:
    """Find the folder of the first image that exists."""
    folders = list_image_folders(annotations)
    with translate_read_errors(annotations):
        image_folder = next((folder for name in names for folder in folders if (folder / name).is_file()), None)
    if image_folder is None:
        first = next(iter(names))
        message = f"{folders[0] / first}: no such image, nor in {folders[1].name} beside it; pass the image folder"
        raise InputNotFound("input-not-found", message, path=str(annotations))
    return image_folder


def _build_image(folder: Path, named: Mapping[str, CocoImage], name: str) -> AnnotatedImage:
    return AnnotatedImage(name, partial(read_image, folder / name), partial(_build_annotation, named[name]))


def _build_annotation(image: CocoImage) -> Annotation:
    """Build the annotation of the masks that can be decoded, and warn of others."""
    skipped = SkippedAnnotations(image.fields.source)
    objects: dict[int, list[CocoAnnotation]] = {}
    for object_id, parts in image.objects.items():
        for part in parts:
            with skipped.catch():
                part.check()
                objects.setdefault(object_id, []).append(part)
    skipped.warn()
    decoders = {key: partial(_decode_mask, parts) for key, parts in objects.items()}
    return Annotation(image.size, decoders, categories={key: parts[0].category for key, parts in objects.items()})


def _decode_mask(parts: list[CocoAnnotation]) -> NDArray[np.bool_]:
    if len(parts) == 1:
        return parts[0].mask()
    return np.asarray(np.logical_or.reduce([part.mask() for part in parts]))

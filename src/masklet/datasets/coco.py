"""COCO and LVIS: pictures with instance masks as polygons or run-length codes, all in one JSON file."""

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

LICENCE = "annotations CC BY 4.0; each picture has its own licence, see the JSON file"


def open_coco(annotations: Path, images: Path | None = None) -> Images:
    """The pictures of a COCO or LVIS instance file that have masks, named by their file names.

    `images` is the folder of pictures; by default the first of `images`, the split's own (`val2017`), and the file's
    own folder, beside the file or one above, that has the first picture. Objects are called by the id of their
    annotation, or by its `track_id`; see `masklet.formats.coco.parse`. Raises `InputNotFound` or `FormatError`.
    """
    named = {_file_name(image.fields): image for image in parse(read_fields(annotations)) if image.objects}
    if not named:
        raise FormatError("dataset-broken", f"{annotations}: no picture in it has masks; is it an instances file?")
    folder = images or _folder_with(next(iter(named)), annotations)
    build = partial(_record, folder, named)
    return Dataset("coco", annotations.stem, annotations, LICENCE, tuple(named), build)


def _file_name(row: Fields) -> str:
    """The image's file, whose name must stay within the folder of images."""
    if "file_name" in row:
        return check_relative(row.get("file_name"), row.source)
    # LVIS v1 leaves the name out: the image's address ends in its split and its name.
    return check_relative("/".join(row.text("coco_url").split("/")[-2:]), row.source)


def _folder_with(file: str, annotations: Path) -> Path:
    split = annotations.stem.split("_")[-1]
    places = [
        place / name for place in (annotations.parent, annotations.parent.parent) for name in ("images", split, "")
    ]
    found = next((place for place in places if (place / file).is_file()), None)
    if found is None:
        message = f"{places[0] / file}: no such picture, nor in {split} beside it; name the folder of pictures"
        raise InputNotFound("input-not-found", message, path=str(annotations))
    return found


def _record(folder: Path, named: Mapping[str, CocoImage], name: str) -> AnnotatedImage:
    return AnnotatedImage(name, partial(read_image, folder / name), partial(_annotation, named[name]))


def _annotation(image: CocoImage) -> Annotation:
    decoders = {key: partial(_mask, own) for key, own in image.objects.items()}
    return Annotation(image.size, decoders, categories={key: own[0].category for key, own in image.objects.items()})


def _mask(parts: list[CocoAnnotation]) -> NDArray[np.bool_]:
    if len(parts) == 1:
        return parts[0].mask()
    return np.asarray(np.logical_or.reduce([part.mask() for part in parts]))

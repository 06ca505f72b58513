"""COCO and LVIS: pictures with instance masks as polygons or run-length codes, all in one JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet import rle
from masklet.data.readers.annotations import Annotation
from masklet.data.readers.json_files import read_json, reading
from masklet.data.readers.polygons import polygon_mask
from masklet.data.readers.records import AnnotatedImage, Dataset, Images
from masklet.errors import FormatError, InputNotFound
from masklet.files.names import check_relative
from masklet.images import read_image

LICENCE = "annotations CC BY 4.0; each picture has its own licence, see the JSON file"


def open_coco(annotations: Path, images: Path | None = None) -> Images:
    """The pictures of a COCO or LVIS instance file that have masks, named by their file names.

    `images` is the folder of pictures; by default the first of `images`, the split's own (`val2017`), and the file's
    own folder, beside the file or one above, that has the first picture. Objects are called by the id of their
    annotation. Crowds (`iscrowd`) are left out, since they are no objects. Raises `InputNotFound` or `FormatError`.
    """
    content = read_json(annotations)
    with reading(annotations):
        pictures = {int(entry["id"]): _Picture(entry, annotations) for entry in content["images"]}
        categories = {int(entry["id"]): str(entry["name"]) for entry in content.get("categories", [])}
        for entry in content["annotations"]:
            if not entry.get("iscrowd", 0):
                pictures[int(entry["image_id"])].entries.append(entry)
    named = {picture.file: picture for picture in pictures.values() if picture.entries}
    if not named:
        raise FormatError("dataset-broken", f"{annotations}: no picture in it has masks; is it an instances file?")
    folder = images or _folder_with(next(iter(named)), annotations)
    build = partial(_record, annotations, folder, named, categories)
    return Dataset("coco", annotations.stem, annotations, LICENCE, tuple(named), build)


class _Picture:
    """What the file says of one picture, and the entries of its objects."""

    def __init__(self, about: Mapping[str, Any], source: Path) -> None:
        self.size = int(about["height"]), int(about["width"])
        # LVIS v1 leaves the name out: the picture's address ends in its split and its name.
        name = about["file_name"] if "file_name" in about else "/".join(about["coco_url"].split("/")[-2:])
        self.file = check_relative(name, source)
        self.entries: list[Mapping[str, Any]] = []


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


def _record(
    annotations: Path, folder: Path, named: Mapping[str, _Picture], categories: Mapping[int, str], name: str
) -> AnnotatedImage:
    read = partial(_annotation, annotations, named[name], categories)
    return AnnotatedImage(name, partial(read_image, folder / name), read)


def _annotation(annotations: Path, picture: _Picture, categories: Mapping[int, str]) -> Annotation:
    with reading(annotations):
        entries = {int(entry["id"]): entry for entry in picture.entries}
        return Annotation(
            picture.size,
            {
                key: partial(_mask, annotations, key, entry["segmentation"], picture.size)
                for key, entry in entries.items()
            },
            categories={key: categories.get(int(entry["category_id"]), "") for key, entry in entries.items()},
        )


def _mask(annotations: Path, key: int, segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask from polygons (a list) or a run-length code (an object), compressed or not."""
    with reading(f"{annotations}, annotation {key}"):
        return polygon_mask(segmentation, size) if isinstance(segmentation, list) else rle.decode(segmentation)

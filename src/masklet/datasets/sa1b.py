"""SA-1B: eleven million pictures, each with a JSON of about a hundred masks, in folders or in the tars they come in."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation, from_codes
from masklet.datasets.dataset import AnnotatedImage, Dataset, Images
from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import IMAGE_SUFFIXES, has_image_suffix, natural_key
from masklet.files.json_fields import Fields, parse_json, read_fields
from masklet.files.names import check_name
from masklet.formats.sa1b import parse
from masklet.images import read_image

LICENCE = "SA-1B Dataset Research License: research only"


class Place(NamedTuple):
    """Where the bytes of a picture and of its masks lie in a tar that is not compressed."""

    picture: int
    picture_bytes: int
    masks: int
    masks_bytes: int


def open_sa1b(root: Path) -> Images:
    """The pictures of SA-1B below `root`, a folder or one tar: `sa_<id>.jpg` beside `sa_<id>.json`, also within tars.

    A picture is named by its path below `root` without suffix. Object ids count from 1 in the file's order. Pictures
    without JSON and JSONs without picture are left out, as subsets are made so. Raises `InputNotFound` for a missing
    root, `FormatError` where no pair is left or a tar is broken.
    """
    if not root.exists():
        raise InputNotFound("input-not-found", f"{root}: no such folder or tar", path=str(root))
    suffixes: dict[str, str] = {}
    places: dict[str, tuple[Path, Place]] = {}
    for folder, _, files in os.walk(root):  # nothing, where the root is a tar
        suffixes |= _pairs(Path(folder).relative_to(root).as_posix(), files)
    for tar in [root] if root.is_file() else sorted(root.rglob("*.tar")):
        places |= {f"{tar.name}/{name}": (tar, place) for name, place in _places(tar)}
    names = sorted([*suffixes, *places], key=natural_key)
    if not names:
        raise FormatError("dataset-broken", f"{root}: no sa_<id>.jpg with its sa_<id>.json in it, nor in tars there")
    return Dataset("sa-1b", "train", root, LICENCE, tuple(names), partial(_record, root, suffixes, places))


def _pairs(folder: str, files: list[str]) -> dict[str, str]:
    """The pictures of a folder that have masks: name below the root → the picture's suffix."""
    stems = {file.removesuffix(".json") for file in files if file.endswith(".json")}
    pictures = (os.path.splitext(file) for file in files if file.startswith("sa_"))  # noqa: PTH122 - millions of names
    prefix = "" if folder == "." else f"{folder}/"
    return {prefix + stem: suffix for stem, suffix in pictures if suffix.lower() in IMAGE_SUFFIXES and stem in stems}


def _places(tar: Path) -> Iterator[tuple[str, Place]]:
    """The pairs in a tar. Its index is read once, bytes when they are asked for."""
    waiting: dict[str, dict[bool, tuple[int, int]]] = {}
    try:
        with tarfile.open(tar, "r:") as archive:
            for entry in archive:
                path = Path(entry.name)
                if (
                    entry.isfile()
                    and path.name.startswith("sa_")
                    and (path.suffix == ".json" or has_image_suffix(path))
                ):
                    check_name(path.name, tar)
                    found = waiting.setdefault(path.stem, {})
                    found[path.suffix == ".json"] = entry.offset_data, entry.size
                    if len(found) == 2:
                        yield path.stem, Place(*found[False], *found[True])
                        del waiting[path.stem]
                archive.members = []  # type: ignore[attr-defined]  # or it keeps every entry
    except (tarfile.TarError, OSError) as cause:
        raise FormatError(
            "dataset-broken", f"{tar}: not a tar that can be read ({cause}); download it again"
        ) from cause


def _record(
    root: Path, suffixes: Mapping[str, str], places: Mapping[str, tuple[Path, Place]], name: str
) -> AnnotatedImage:
    if name in places:
        tar, place = places[name]
        return AnnotatedImage(name, partial(_picture_in, tar, place), partial(_masks_in, tar, place, name))
    picture, masks = root / f"{name}{suffixes[name]}", root / f"{name}.json"
    return AnnotatedImage(name, partial(read_image, picture), partial(_masks, masks))


def _picture_in(tar: Path, place: Place) -> NDArray[np.uint8]:
    return read_image(_bytes(tar, place.picture, place.picture_bytes))


def _masks_in(tar: Path, place: Place, name: str) -> Annotation:
    return _annotation(Fields(parse_json(_bytes(tar, place.masks, place.masks_bytes), name), name))


def _masks(path: Path) -> Annotation:
    return _annotation(read_fields(path))


def _annotation(file: Fields) -> Annotation:
    size, masks = parse(file)
    return from_codes({mask.object_id: mask.code for mask in masks}, size, file.source)


def _bytes(tar: Path, offset: int, size: int) -> bytes:
    with tar.open("rb") as handle:
        handle.seek(offset)
        return handle.read(size)

"""SA-1B: 11 million images, each with a JSON file of about 100 masks, in folders or in the released tars."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation, annotation_from_rle
from masklet.datasets.dataset import AnnotatedImage, Dataset, Images
from masklet.datasets.frame_folders import find_files_below
from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import IMAGE_SUFFIXES, has_image_suffix, natural_key
from masklet.files.json_fields import Fields, parse_json, read_fields
from masklet.files.junk_files import is_junk
from masklet.files.names import check_name
from masklet.formats.sa1b import parse
from masklet.formats.skipped import SkippedAnnotations
from masklet.images import read_image

LICENSE = "SA-1B Dataset Research License: research only"


class TarEntry(NamedTuple):
    """Offsets and sizes of an image and its masks in an uncompressed tar."""

    image_offset: int
    image_bytes: int
    masks_offset: int
    masks_bytes: int


def open_sa1b(root: Path) -> Images:
    """Open the images of SA-1B below `root`, a folder or a tar: `sa_<id>.jpg` beside `sa_<id>.json`, also within tars.

    An image is named by its path below `root` without suffix. Object ids count from 1 in the file's order. Images
    without JSON and JSON files without image are skipped, since subsets have them. Raises `InputNotFound` for a missing
    root, `FormatError` if there are no pairs or a tar is broken.
    """
    if not root.exists():
        raise InputNotFound("input-not-found", f"{root}: no such folder or tar", path=str(root))
    suffixes: dict[str, tuple[str, str]] = {}
    places: dict[str, tuple[Path, TarEntry]] = {}
    for folder, folders, files in os.walk(root):  # yields nothing if the root is a tar
        folders[:] = [name for name in folders if not is_junk(name)]
        suffixes |= _find_pairs(Path(folder).relative_to(root).as_posix(), files)
    for tar in [root] if root.is_file() else sorted(find_files_below(root, "*.tar")):
        places |= {f"{tar.name}/{name}": (tar, place) for name, place in _find_tar_entries(tar)}
    names = sorted([*suffixes, *places], key=natural_key)
    if not names:
        raise FormatError("dataset-broken", f"{root}: no pair of sa_<id>.jpg and sa_<id>.json in it or in its tars")
    return Dataset("sa-1b", "train", root, LICENSE, tuple(names), partial(_record, root, suffixes, places))


def _find_pairs(folder: str, files: list[str]) -> dict[str, tuple[str, str]]:
    """Find the images of a folder that have masks: the suffixes of image and JSON file by the name below the root."""
    parts = [os.path.splitext(file) for file in files if file.startswith("sa_")]  # noqa: PTH122 - millions of names
    stems = {stem: suffix for stem, suffix in parts if suffix.lower() == ".json"}
    prefix = "" if folder == "." else f"{folder}/"
    return {
        prefix + stem: (suffix, stems[stem])
        for stem, suffix in parts
        if suffix.lower() in IMAGE_SUFFIXES and stem in stems
    }


def _find_tar_entries(tar: Path) -> Iterator[tuple[str, TarEntry]]:
    """Find the pairs in a tar. Its index is read once, contents on access."""
    waiting: dict[str, dict[bool, tuple[int, int]]] = {}
    try:
        with tarfile.open(tar, "r:") as archive:
            for entry in archive:
                path = Path(entry.name)
                if (
                    entry.isfile()
                    and path.name.startswith("sa_")
                    and (path.suffix.lower() == ".json" or has_image_suffix(path))
                ):
                    check_name(path.name, tar)
                    pair = waiting.setdefault(path.stem, {})
                    pair[path.suffix.lower() == ".json"] = entry.offset_data, entry.size
                    if len(pair) == 2:
                        yield path.stem, TarEntry(*pair[False], *pair[True])
                        del waiting[path.stem]
                archive.members = []  # type: ignore[attr-defined]  # otherwise it keeps every entry
    except (tarfile.TarError, OSError) as cause:
        raise FormatError("dataset-broken", f"{tar}: cannot read the tar ({cause}); download it again") from cause


def _record(
    root: Path, suffixes: Mapping[str, tuple[str, str]], places: Mapping[str, tuple[Path, TarEntry]], name: str
) -> AnnotatedImage:
    if name in places:
        tar, place = places[name]
        return AnnotatedImage(name, partial(_read_tar_image, tar, place), partial(_read_tar_masks, tar, place, name))
    image, masks = (root / f"{name}{suffix}" for suffix in suffixes[name])
    return AnnotatedImage(name, partial(read_image, image), partial(_read_masks, masks))


def _read_tar_image(tar: Path, place: TarEntry) -> NDArray[np.uint8]:
    return read_image(_read_bytes(tar, place.image_offset, place.image_bytes))


def _read_tar_masks(tar: Path, place: TarEntry, name: str) -> Annotation:
    return _parse_annotation(Fields(parse_json(_read_bytes(tar, place.masks_offset, place.masks_bytes), name), name))


def _read_masks(path: Path) -> Annotation:
    return _parse_annotation(read_fields(path))


def _parse_annotation(file: Fields) -> Annotation:
    skipped = SkippedAnnotations(file.source)
    size, masks = parse(file, skipped)
    skipped.warn()
    return annotation_from_rle({mask.object_id: mask.rle for mask in masks}, size, file.source)


def _read_bytes(tar: Path, offset: int, size: int) -> bytes:
    with tar.open("rb") as handle:
        handle.seek(offset)
        return handle.read(size)

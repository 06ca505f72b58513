"""Frame folders: clips stored as a folder of frames beside a folder of label maps with the same names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase as fnmatch
from functools import partial
from pathlib import Path

from masklet.datasets.dataset import AnnotatedClip, ClipObject
from masklet.datasets.label_files import read_label_map
from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import IMAGE_SUFFIXES, natural_key, select_images
from masklet.files.junk_files import is_junk, skip_junk
from masklet.files.text_files import read_lines


def read_label_clip(
    name: str,
    frames: Path,
    labels: Path,
    *,
    objects: Mapping[int, ClipObject] | None = None,
    required_frames: Iterable[str] = (),
    binary: bool = False,
) -> AnnotatedClip:
    """Read the clip with the images in `frames`, some of which have a label map in `labels`; see `AnnotatedClip`.

    `required_frames` are frame names. With `binary`, all values but 0 are object 1. Raises `InputNotFound`, and
    `FormatError` with the folder or file.
    """
    names = tuple(list_images(frames))
    number = partial(find_frame, numbers={name: number for number, name in enumerate(names)}, folder=frames)
    maps = list_images(labels)
    return AnnotatedClip(
        name=name,
        source=frames,
        frame_names=names,
        annotations={number(stem): partial(read_label_map, path, binary=binary) for stem, path in maps.items()},
        objects=objects or {},
        required_frames=tuple(sorted(map(number, required_frames))),
    )


def list_images(folder: Path) -> dict[str, Path]:
    """List the images of a folder by name without suffix, in natural order.

    Raises `InputNotFound` for a missing folder, `FormatError` for one without images or with two of one name.
    """
    paths: dict[str, Path] = {}
    for path in select_images(list_entries(folder)):
        if path.stem in paths:
            raise FormatError("dataset-broken", f"{folder}: {paths[path.stem].name} and {path.name} have the same name")
        paths[path.stem] = path
    if not paths:
        raise FormatError("dataset-broken", f"{folder}: no images in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return paths


def list_clips(frames: Path, labels: Path) -> tuple[str, ...]:
    """List the subfolders of `frames`, which must be in `labels` too. Raises the errors of `list_images`."""
    names = sorted((path.name for path in list_entries(frames) if path.is_dir()), key=natural_key)
    if not names:
        raise FormatError("dataset-broken", f"{frames}: no clips in it; each should be a folder of frames")
    return tuple(check_clip_folders(names, frames, labels))


def read_list(listing: Path) -> list[str]:
    """Read the lines of a text file, without empty ones. Raises `InputNotFound`, `FormatError` if there are none."""
    if not listing.is_file():
        raise InputNotFound("input-not-found", f"{listing}: there is no such list of names", path=str(listing))
    names = [line for line in read_lines(listing) if line]
    if not names:
        raise FormatError("dataset-broken", f"{listing}: no names in it")
    return names


def check_clip_folders(names: Iterable[str], *folders: Path) -> list[str]:
    """Return `names` after checking that each is a folder in all `folders`. Raises `FormatError`."""
    checked = list(names)
    for name in checked:
        missing = next((folder / name for folder in folders if not (folder / name).is_dir()), None)
        if missing is not None:
            raise FormatError("dataset-broken", f"{missing} is missing; the dataset is incomplete", path=str(missing))
    return checked


def parse_object_id(folder: Path) -> int:
    """Return the object id that a folder of masks has as its name. Raises `FormatError` if it is not a number."""
    if not (folder.name.isascii() and folder.name.isdecimal()):
        raise FormatError("dataset-broken", f"{folder}: the name of a mask folder must be the object id, such as 001")
    return int(folder.name)


def list_entries(folder: Path) -> list[Path]:
    """List the entries of a folder that are data; see `is_junk`. Raises `InputNotFound` if it does not exist."""
    if not folder.is_dir():
        raise InputNotFound("input-not-found", f"{folder}: no such folder", path=str(folder))
    return [*skip_junk(folder.iterdir())]


def find_files(folder: Path, *patterns: str) -> list[Path]:
    """List the files of a folder that match one of the patterns, in any case of letters; none of a missing folder."""
    entries = list_entries(folder) if folder.is_dir() else []
    return [path for path in sorted(entries) if any(fnmatch(path.name.lower(), pattern) for pattern in patterns)]


def find_files_below(root: Path, pattern: str) -> Iterator[Path]:
    """Yield the files below a folder that match a pattern, in any case of letters."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not is_junk(name)]
        yield from (Path(folder, name) for name in files if fnmatch(name.lower(), pattern) and not is_junk(name))


def find_frame(name: str, numbers: Mapping[str, int], folder: Path) -> int:
    """Return the index of a frame that has a mask. Raises `FormatError` if the frame is missing."""
    if name not in numbers:
        raise FormatError("dataset-broken", f"{folder}: frame {name} is missing, but has a mask")
    return numbers[name]

"""Clips as most video data sets keep them: a folder of frames beside a folder of label maps with the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from masklet.datasets.dataset import AnnotatedClip, ClipObject
from masklet.datasets.label_files import read_label_map
from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import IMAGE_SUFFIXES, natural_key, select_images


def label_clip(
    name: str,
    frames: Path,
    labels: Path,
    *,
    objects: Mapping[int, ClipObject] | None = None,
    wanted: Iterable[str] = (),
    binary: bool = False,
) -> AnnotatedClip:
    """The clip with the pictures in `frames`, of which some have a label map in `labels`; see `AnnotatedClip`.

    `wanted` are names of frames. With `binary` whatever is not 0 is object 1. Raises `InputNotFound` and `FormatError`
    naming the folder or file.
    """
    names = tuple(picture_files(frames))
    number = partial(number_of, numbers={name: number for number, name in enumerate(names)}, folder=frames)
    maps = picture_files(labels)
    return AnnotatedClip(
        name=name,
        source=frames,
        frame_names=names,
        annotations={number(stem): partial(read_label_map, path, binary=binary) for stem, path in maps.items()},
        objects=objects or {},
        wanted=tuple(sorted(map(number, wanted))),
    )


def picture_files(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by name without suffix, in the order in which the folder is played.

    Raises `InputNotFound` for a missing folder, `FormatError` for one without pictures or with two of one name.
    """
    found: dict[str, Path] = {}
    for path in select_images(entries(folder)):
        if path.stem in found:
            raise FormatError("dataset-broken", f"{folder}: {found[path.stem].name} and {path.name} have one name")
        found[path.stem] = path
    if not found:
        raise FormatError("dataset-broken", f"{folder}: no pictures in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return found


def clip_names(frames: Path, labels: Path) -> tuple[str, ...]:
    """The sub-folders of `frames`, each of which must be in `labels` too. Raises like `picture_files`."""
    names = sorted((path.name for path in entries(frames) if path.is_dir() and path.name[0] != "."), key=natural_key)
    if not names:
        raise FormatError("dataset-broken", f"{frames}: no clips in it; each should be a folder of frames")
    return tuple(check_names(names, frames, labels))


def read_list(listing: Path) -> list[str]:
    """The lines of a text file that are not empty. Raises `InputNotFound`, `FormatError` for a file without any."""
    if not listing.is_file():
        raise InputNotFound("input-not-found", f"{listing}: no such list of names", path=str(listing))
    lines = [line.strip() for line in listing.read_text("utf-8", "replace").splitlines()]
    names = [line for line in lines if line]
    if not names:
        raise FormatError("dataset-broken", f"{listing}: no names in it")
    return names


def check_names(names: Iterable[str], *folders: Path) -> list[str]:
    """`names` if each is a folder in all of `folders`; otherwise `FormatError` with the first that is not."""
    checked = list(names)
    for name in checked:
        missing = next((folder / name for folder in folders if not (folder / name).is_dir()), None)
        if missing is not None:
            raise FormatError(
                "dataset-broken", f"{missing} is missing; the data set is not complete", path=str(missing)
            )
    return checked


def object_number(folder: Path) -> int:
    """The object that a folder of masks is of: its name. Raises `FormatError` if that is no number."""
    if not (folder.name.isascii() and folder.name.isdecimal()):
        raise FormatError("dataset-broken", f"{folder}: a folder of masks is named by its object's number, as 001")
    return int(folder.name)


def entries(folder: Path) -> list[Path]:
    """What is in a folder. Raises `InputNotFound` if it is none."""
    if not folder.is_dir():
        raise InputNotFound("input-not-found", f"{folder}: no such folder", path=str(folder))
    return list(folder.iterdir())


def number_of(name: str, numbers: Mapping[str, int], folder: Path) -> int:
    """The number of a frame that has a mask. Raises `FormatError` if there is no such frame."""
    if name not in numbers:
        raise FormatError("dataset-broken", f"{folder}: frame {name} is missing, but has a mask")
    return numbers[name]

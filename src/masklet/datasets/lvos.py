"""LVOS v1 and v2: clips of minutes, of which every fifth frame is annotated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from masklet.datasets.dataset import AnnotatedClip, ClipObject, Clips, Dataset
from masklet.datasets.frame_folders import check_names, label_clip, picture_files, read_list
from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import natural_key
from masklet.files.json_fields import Fields, read_fields
from masklet.files.names import check_name

LICENCE = "annotations CC BY 4.0, pictures for research that is not commercial"
CLIPS_OF_V1 = {"train": 120, "val": 50, "test": 50}  # v2 has 420, 140 and 160
UNSEEN = "unseen_videos.txt"


def open_lvos(root: Path, split: str = "val") -> Clips:
    """A split of LVOS below `root`: `<split>/JPEGImages/<clip>`, `<split>/Annotations/<clip>` and `<split>_meta.json`.

    The meta file may also lie in the split's folder. The version is told by the number of clips. Clips listed in
    `unseen_videos.txt` in either place are unseen (v2). Raises `InputNotFound` or `FormatError` naming what is missing.
    """
    frames, labels = root / split / "JPEGImages", root / split / "Annotations"
    meta = _meta_file(root, split)
    clips = {check_name(name, meta): about for name, about in read_fields(meta).entries("videos").items()}
    unseen = next((path for path in (root / split / UNSEEN, root / UNSEEN) if path.is_file()), None)
    return Dataset(
        kind="lvos-v1" if len(clips) == CLIPS_OF_V1.get(split) else "lvos-v2",
        split=split,
        root=root,
        licence=LICENCE,
        names=tuple(check_names(sorted(clips, key=natural_key), frames, labels)),
        build=partial(_clip, frames, labels, clips),
        unseen=None if unseen is None else frozenset(read_list(unseen)),
    )


def _meta_file(root: Path, split: str) -> Path:
    places = [root / split / f"{split}_meta.json", root / f"{split}_meta.json", root / split / "meta.json"]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise InputNotFound(
            "input-not-found", f"{places[0]}: no such file; it says on which frames objects are expected"
        )
    return found


def _clip(frames: Path, labels: Path, clips: Mapping[str, Fields], name: str) -> AnnotatedClip:
    files = picture_files(frames / name)
    odd = next((frame for frame in files if not frame.isdecimal()), None)
    if odd is not None:
        raise FormatError("dataset-broken", f"{frames / name}: frame {odd!r} is not named by a number")
    numbers = [int(frame) for frame in files]
    objects = {key: _object(about, numbers) for key, about in clips[name].numbered("objects").items()}
    return label_clip(name, frames / name, labels / name, objects=objects)


def _object(about: Fields, numbers: list[int]) -> ClipObject:
    """An object with the frames from its start to its end; the range is given in the numbers that name the files."""
    span = about.object("frame_range")
    start, end = (_number(span, key) for key in ("start", "end"))
    return ClipObject(about.text("category", ""), frozenset(k for k, n in enumerate(numbers) if start <= n <= end))


def _number(span: Fields, key: str) -> int:
    """A frame's number, which may be written as the name of its file."""
    name = span.get(key)
    return int(name) if isinstance(name, str) and name.isdecimal() else span.integer(key)

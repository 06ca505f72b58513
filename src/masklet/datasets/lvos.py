"""LVOS v1 and v2: clips of several minutes, annotated on every fifth frame."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from masklet.datasets.dataset import AnnotatedClip, ClipObject, Clips, Dataset
from masklet.datasets.frame_folders import check_clip_folders, list_images, read_label_clip, read_list
from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import natural_key
from masklet.files.json_fields import Fields, read_fields
from masklet.files.names import check_name

LICENSE_V1 = "see the dataset's page"
LICENSE_V2 = "annotations CC BY 4.0, images for non-commercial research"
CLIPS_OF_V1 = {"train": 120, "val": 50, "test": 50}  # v2 has 420, 140 and 160
UNSEEN = "unseen_videos.txt"


def open_lvos(root: Path, split: str = "val") -> Clips:
    """Open a split of LVOS: `<split>/JPEGImages/<clip>`, `<split>/Annotations/<clip>` and `<split>_meta.json`.

    The meta file may also be in the folder of the split. The number of clips tells v1 from v2. Clips listed in
    `unseen_videos.txt` in either place are unseen (v2). Raises `InputNotFound` or `FormatError` with the missing file.
    """
    frames, labels = root / split / "JPEGImages", root / split / "Annotations"
    meta = _find_meta_file(root, split)
    clips = {check_name(name, meta): fields for name, fields in read_fields(meta).entries("videos").items()}
    unseen = next((path for path in (root / split / UNSEEN, root / UNSEEN) if path.is_file()), None)
    is_v1 = len(clips) == CLIPS_OF_V1.get(split)
    return Dataset(
        kind="lvos-v1" if is_v1 else "lvos-v2",
        split=split,
        root=root,
        license=LICENSE_V1 if is_v1 else LICENSE_V2,
        names=tuple(check_clip_folders(sorted(clips, key=natural_key), frames, labels)),
        build=partial(_read_clip, frames, labels, clips),
        unseen=None if unseen is None else frozenset(read_list(unseen)),
    )


def _find_meta_file(root: Path, split: str) -> Path:
    candidates = [root / split / f"{split}_meta.json", root / f"{split}_meta.json", root / split / "meta.json"]
    meta_file = next((path for path in candidates if path.is_file()), None)
    if meta_file is None:
        raise InputNotFound("input-not-found", f"{candidates[0]}: no such file; it lists the frames of each object")
    return meta_file


def _read_clip(frames: Path, labels: Path, clips: Mapping[str, Fields], name: str) -> AnnotatedClip:
    files = list_images(frames / name)
    misnamed = next((frame for frame in files if not frame.isdecimal()), None)
    if misnamed is not None:
        raise FormatError(
            "dataset-broken", f"{frames / name}: the name of frame {misnamed!r} is not a number; rename it"
        )
    numbers = [int(frame) for frame in files]
    objects = {key: _parse_object(fields, numbers) for key, fields in clips[name].numbered("objects").items()}
    return read_label_clip(name, frames / name, labels / name, objects=objects)


def _parse_object(about: Fields, numbers: list[int]) -> ClipObject:
    """Parse an object with its range of frames, which is given in file numbers."""
    span = about.object("frame_range")
    start, end = (_parse_frame_number(span, key) for key in ("start", "end"))
    return ClipObject(about.text("category", ""), frozenset(k for k, n in enumerate(numbers) if start <= n <= end))


def _parse_frame_number(span: Fields, key: str) -> int:
    """Return a frame number, which may be given as a file name."""
    name = span.get(key)
    return int(name) if isinstance(name, str) and name.isdecimal() else span.integer(key)

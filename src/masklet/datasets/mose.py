"""MOSE: clips with crowds, occlusion and objects that disappear and reappear."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from masklet.datasets.dataset import AnnotatedClip, Clips, Dataset
from masklet.datasets.frame_folders import check_clip_folders, list_clips, read_label_clip, read_list
from masklet.files.names import check_name

LICENSE = "CC BY-NC-SA 4.0, for non-commercial research"


def open_mose(root: Path, split: str = "valid", *, listing: Path | None = None) -> Clips:
    """Open a split of MOSE: `<split>/JPEGImages/<clip>` and `<split>/Annotations/<clip>`.

    Of valid only the first masks are public. `listing` is a text file of clips to use, such as the 200 held-out clips
    of train. Raises `InputNotFound` or `FormatError` with the missing file.
    """
    frames, labels = root / split / "JPEGImages", root / split / "Annotations"
    if listing is None:
        names = list_clips(frames, labels)
    else:
        names = tuple(check_clip_folders([check_name(name, listing) for name in read_list(listing)], frames, labels))
    return Dataset("mose", split, root, LICENSE, names, partial(_read_clip, frames, labels))


def _read_clip(frames: Path, labels: Path, name: str) -> AnnotatedClip:
    return read_label_clip(name, frames / name, labels / name)

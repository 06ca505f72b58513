"""MOSE: clips with crowds, occlusion and objects that vanish and come back."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from masklet.datasets.dataset import AnnotatedClip, Clips, Dataset
from masklet.datasets.frame_folders import check_names, clip_names, label_clip, read_list
from masklet.files.names import check_name

LICENCE = "CC BY-NC-SA 4.0, for research that is not commercial"


def open_mose(root: Path, split: str = "valid", *, listing: Path | None = None) -> Clips:
    """A split of MOSE below `root`: `<split>/JPEGImages/<clip>` and `<split>/Annotations/<clip>`.

    Of valid only the first masks are public. `listing` is a text file of clips to take, as for the 200 of train that
    are held out. Raises `InputNotFound` or `FormatError` naming what is missing.
    """
    frames, labels = root / split / "JPEGImages", root / split / "Annotations"
    if listing is None:
        names = clip_names(frames, labels)
    else:
        names = tuple(check_names([check_name(name, listing) for name in read_list(listing)], frames, labels))
    return Dataset("mose", split, root, LICENCE, names, partial(_clip, frames, labels))


def _clip(frames: Path, labels: Path, name: str) -> AnnotatedClip:
    return label_clip(name, frames / name, labels / name)

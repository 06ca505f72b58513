"""DAVIS 2016 and 2017: short clips with one or several objects, annotated on every frame."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from masklet.datasets.dataset import AnnotatedClip, Clips, Dataset
from masklet.datasets.frame_folders import check_clip_folders, read_label_clip, read_list
from masklet.files.names import check_relative

LICENSE = "CC BY-NC 4.0, for non-commercial use (the terms in the data package; the toolkit is BSD 3-Clause)"


def open_davis(root: Path, split: str = "val", *, year: Literal[2016, 2017] = 2017, resolution: str = "480p") -> Clips:
    """Open a split of DAVIS: `JPEGImages/<resolution>`, `Annotations/<resolution>`, `ImageSets/…/<split>.txt`.

    Splits are train, val, trainval and test-dev, of which only the first masks are public. In 2016 all objects of a
    clip are one object. Raises `InputNotFound` or `FormatError` with the missing file.
    """
    frames, labels = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    listings = [root / "ImageSets" / folder / f"{split}.txt" for folder in (str(year), resolution)]
    listing = next((path for path in listings if path.is_file()), listings[0])
    names = dict.fromkeys(_parse_clip_name(line, listing) for line in read_list(listing))
    return Dataset(
        kind=f"davis-{year}",
        split=split,
        root=root,
        license=LICENSE,
        names=tuple(check_clip_folders(names, frames, labels)),
        build=partial(_read_clip, frames, labels, year == 2016),
    )


def _parse_clip_name(line: str, listing: Path) -> str:
    """Return the clip of a line: the name itself in 2017, the path of a frame in the lists of 2016.

    These paths start with a slash, which means the root of the dataset.
    """
    *folders, last = check_relative(line.split()[0].removeprefix("/"), listing).split("/")
    return folders[-1] if folders and Path(last).suffix else last


def _read_clip(frames: Path, labels: Path, binary: bool, name: str) -> AnnotatedClip:
    return read_label_clip(name, frames / name, labels / name, binary=binary)

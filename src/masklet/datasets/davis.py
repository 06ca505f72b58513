"""DAVIS 2016 and 2017: short clips in which every frame is annotated, one object or several."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from masklet.datasets.dataset import AnnotatedClip, Clips, Dataset
from masklet.datasets.frame_folders import check_names, label_clip, read_list
from masklet.files.names import check_relative

LICENCE = "BSD 3-Clause (davisvideochallenge/davis-2017)"


def open_davis(root: Path, split: str = "val", *, year: Literal[2016, 2017] = 2017, resolution: str = "480p") -> Clips:
    """A split of DAVIS below `root`: `JPEGImages/<resolution>`, `Annotations/<resolution>`, `ImageSets/…/<split>.txt`.

    Splits are train, val, trainval and test-dev; of test-dev only the first masks are public. In 2016 all objects of a
    clip are one. Raises `InputNotFound` or `FormatError` naming what is missing.
    """
    frames, labels = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    listings = [root / "ImageSets" / folder / f"{split}.txt" for folder in (str(year), resolution)]
    listing = next((path for path in listings if path.is_file()), listings[0])
    names = dict.fromkeys(_clip_in(line, listing) for line in read_list(listing))
    return Dataset(
        kind=f"davis-{year}",
        split=split,
        root=root,
        licence=LICENCE,
        names=tuple(check_names(names, frames, labels)),
        build=partial(_clip, frames, labels, year == 2016),
    )


def _clip_in(line: str, listing: Path) -> str:
    """The clip that a line names: by itself in 2017, by the path of one of its frames in 2016's own lists.

    Those paths begin with a slash that means the root of the data set.
    """
    *folders, last = check_relative(line.split()[0].removeprefix("/"), listing).split("/")
    return folders[-1] if folders and Path(last).suffix else last


def _clip(frames: Path, labels: Path, binary: bool, name: str) -> AnnotatedClip:
    return label_clip(name, frames / name, labels / name, binary=binary)

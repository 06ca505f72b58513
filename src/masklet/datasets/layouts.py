"""Which data set is in a folder? Told by its layout, so that a path is all that one has to give."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.coco import open_coco
from masklet.datasets.dataset import AnnotatedClip, AnnotatedImage, Clips, Dataset, Images
from masklet.datasets.davis import open_davis
from masklet.datasets.folders import folder_pair, open_clip_folders, open_label_tree, open_pictures
from masklet.datasets.lvos import open_lvos
from masklet.datasets.mose import open_mose
from masklet.datasets.sa1b import open_sa1b
from masklet.datasets.sav import FRAMES, open_sav, open_sav_train
from masklet.datasets.youtube_vos import ALL_FRAMES, open_youtube_vos
from masklet.errors import FormatError, InputNotFound, SettingsError
from masklet.files.image_files import IMAGE_SUFFIXES

IMAGE_LAYOUTS = "SA-1B, COCO or LVIS instances, images with masks, LabelMe"
CLIP_LAYOUTS = "SA-V, DAVIS, YouTube-VOS, MOSE, LVOS, folders of frames with label maps"
_SPLITS = ("valid" + ALL_FRAMES, "valid", "val", "test", "train")  # the first that is there, if none is named
_COCO = ("instances*.json", "lvis*.json", "*.coco.json", "annotations.json")

Name = TypeVar("Name", bound=str)


def open_images(path: str | Path, split: str | None = None) -> Images:
    """The annotated pictures at `path`: a folder, a COCO file, a tar of SA-1B; of clips, every annotated frame.

    `split` chooses where there are several. Raises `InputNotFound` for a missing path, `FormatError` for a layout that
    is unknown or broken, `SettingsError` for a split that is not there.
    """
    path = Path(path)
    _require(path)
    for find in (_coco, _sa1b, _paired):
        found = find(path, split)
        if found is not None:
            return found
    clips = _clips(path, split)
    if clips is None:
        raise _unknown(path, f"{IMAGE_LAYOUTS}, {CLIP_LAYOUTS}")
    return frames_as_images(clips)


def open_clips(path: str | Path, split: str | None = None) -> Clips:
    """The annotated clips at `path`, a folder. Raises like `open_images`."""
    path = Path(path)
    _require(path)
    found = _clips(path, split)
    if found is None:
        raise _unknown(path, CLIP_LAYOUTS)
    return found


def open_truth(path: Path, split: str | None = None) -> Clips:
    """The clips at `path`, or else the true label maps alone: `<clip>/<frame>.png`, `<clip>/<object>/<frame>.png`."""
    _require(path)
    return _clips(path, split) or open_label_tree(path)


def frames_as_images(clips: Clips) -> Images:
    """Every annotated frame of every clip as a picture, named by clip and frame."""
    places = {f"{clip.name}/{clip.frame_names[k]}": (clip.name, k) for clip in clips for k in clip.annotated}

    def build(name: str) -> AnnotatedImage:
        clip, frame = clips[places[name][0]], places[name][1]
        return AnnotatedImage(name, partial(_frame, clip, frame), partial(clip.annotation, frame))

    return Dataset(clips.kind, clips.split, clips.root, clips.licence, tuple(places), build)


def _frame(clip: AnnotatedClip, frame: int) -> NDArray[np.uint8]:
    with closing(clip.video()) as video:
        return np.asarray(video[frame])


def _coco(path: Path, split: str | None) -> Images | None:
    if path.is_file():
        return open_coco(path) if path.suffix.lower() == ".json" else None
    found = {file for folder in (path, path / "annotations") for pattern in _COCO for file in folder.glob(pattern)}
    files = sorted(file for file in found if split is None or split in file.stem)
    names = ", ".join(sorted(file.stem for file in found))
    if found and not files:
        raise SettingsError("bad-usage", f"{path} has no split {split!r}; there are {names}")
    if len(files) > 1:
        raise SettingsError("bad-usage", f"{path} holds {names}; say which with --split, or name the file")
    return open_coco(files[0]) if files else None


def _sa1b(path: Path, split: str | None) -> Images | None:
    if path.is_file():
        return open_sa1b(path) if path.suffix.lower() == ".tar" else None
    hints = (file for pattern in ("sa_*.json", "*/sa_*.json", "sa_*.tar", "*/sa_*.tar") for file in path.glob(pattern))
    return open_sa1b(path) if next(hints, None) else None


def _paired(path: Path, split: str | None) -> Images | None:
    root = path / split if split else path
    pair = folder_pair(root)
    if pair is not None:
        return open_pictures(*pair) if any(file.is_file() for file in pair[0].iterdir()) else None
    labelled = any(file.with_suffix(suffix).is_file() for file in root.glob("*.json") for suffix in IMAGE_SUFFIXES)
    return open_pictures(root, root) if labelled else None


def _clips(path: Path, split: str | None) -> Clips | None:
    """The clips in a folder; a folder that is itself a split counts as that split of the folder above it."""
    if path.is_file():
        return None
    if split is None and path.name in _SPLITS and folder_pair(path):
        path, split = path.parent, path.name
    for find in (_sav, _davis, _split_folders, _own):
        found = find(path, split)
        if found is not None:
            return found
    return None


def _sav(path: Path, split: str | None) -> Clips | None:
    roots = {root.name.removeprefix("sav_"): root for root in (path / "sav_val", path / "sav_test") if root.is_dir()}
    if (path / FRAMES).is_dir():
        names = [name for name in ("val", "test") if (path / f"sav_{name}.txt").is_file()]
        return open_sav(path, _chosen(path, split, names or ["val"]))
    if roots:
        chosen = _chosen(path, split, list(roots))
        return open_sav(roots[chosen], chosen)
    every: list[Literal["manual", "auto"]] = ["manual", "auto"]
    kinds = [kind for kind in every if next(path.rglob(f"sav_*_{kind}.json"), None)]
    return open_sav_train(path, _chosen(path, split, kinds)) if kinds else None


def _davis(path: Path, split: str | None) -> Clips | None:
    """`split` may begin with the year, as in 2016/val; by default it is 2017 where that is there."""
    if not (path / "ImageSets").is_dir():
        return None
    year, _, name = (split or "").rpartition("/")
    if year not in ("", "2016", "2017"):
        raise SettingsError("bad-usage", f"DAVIS is of 2016 or 2017, not {year}")
    recent = (path / "ImageSets" / "2017").is_dir() if not year else year == "2017"
    lists = [path / "ImageSets" / folder for folder in (["2017"] if recent else ["2016", "480p"])]
    there = {file.stem for folder in lists for file in folder.glob("*.txt")}
    ordered = [name for name in _SPLITS if name in there] + sorted(there - set(_SPLITS))
    return open_davis(path, _chosen(path, name or None, ordered), year=2017 if recent else 2016)


def _split_folders(path: Path, split: str | None) -> Clips | None:
    there = [name for name in _SPLITS if (path / name / "JPEGImages").is_dir()]
    if not there:
        return None
    name = _chosen(path, split, there)
    sparse = name.removesuffix(ALL_FRAMES)
    if any(place.is_file() for place in (path / name / f"{name}_meta.json", path / f"{name}_meta.json")):
        return open_lvos(path, name)
    return open_youtube_vos(path, name) if (path / sparse / "meta.json").is_file() else open_mose(path, name)


def _own(path: Path, split: str | None) -> Clips | None:
    root = path / split if split else path
    folders = (folder_pair(folder) for folder in (root, *root.iterdir()) if folder.is_dir())
    return open_clip_folders(root) if any(folders) else None


def _chosen(path: Path, split: str | None, there: list[Name]) -> Name:
    """The split that was asked for, or the first. Raises `SettingsError` if it is not there."""
    chosen = next((name for name in there if split in (None, name)), None)
    if chosen is None:
        raise SettingsError("bad-usage", f"{path} has no split {split!r}; there are {', '.join(there)}")
    return chosen


def _require(path: Path) -> None:
    if not path.exists():
        raise InputNotFound("input-not-found", f"{path}: no such data set", path=str(path))


def _unknown(path: Path, layouts: str) -> FormatError:
    return FormatError("dataset-broken", f"{path}: no layout that is known; there are {layouts}", path=str(path))

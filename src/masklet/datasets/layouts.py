"""Detection of datasets: open the dataset at a path by its folder layout."""

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
from masklet.datasets.folders import find_folder_pair, open_clip_folders, open_image_folders, open_label_tree
from masklet.datasets.frame_folders import find_files, find_files_below, list_entries
from masklet.datasets.lvos import open_lvos
from masklet.datasets.mose import open_mose
from masklet.datasets.sa1b import open_sa1b
from masklet.datasets.sav import FRAMES_FOLDER, open_sav, open_sav_train
from masklet.datasets.youtube_vos import ALL_FRAMES, open_youtube_vos
from masklet.errors import FormatError, InputNotFound, SettingsError
from masklet.files.image_files import has_image_suffix
from masklet.files.junk_files import skip_junk

IMAGE_LAYOUTS = "SA-1B, COCO or LVIS instances, images with masks, LabelMe"
CLIP_LAYOUTS = "SA-V, DAVIS, YouTube-VOS, MOSE, LVOS, folders of frames with label maps"
_SPLITS = ("valid" + ALL_FRAMES, "valid", "val", "test", "train")  # by default the first one that exists is used
_COCO = ("instances*.json", "lvis*.json", "*.coco.json", "annotations.json")

Name = TypeVar("Name", bound=str)


def open_images(path: str | Path, split: str | None = None) -> Images:
    """Open the annotated images at `path`.

    Args:
        path: A dataset folder, a COCO file, or an SA-1B tar. Of clips, every annotated frame is an image.
        split: The split, if there are several.

    Raises:
        InputNotFound: `path` does not exist.
        FormatError: The layout is unknown or broken.
        SettingsError: The split does not exist.
    """
    path = Path(path)
    _require_path(path)
    for find in (_find_coco, _find_sa1b, _find_image_folders):
        images = find(path, split)
        if images is not None:
            return images
    clips = _find_clips(path, split)
    if clips is None:
        raise _unknown_layout(path, f"{IMAGE_LAYOUTS}, {CLIP_LAYOUTS}")
    return _frames_as_images(clips)


def open_clips(path: str | Path, split: str | None = None) -> Clips:
    """Open the annotated clips in the folder `path`. Raises the errors of `open_images`."""
    path = Path(path)
    _require_path(path)
    clips = _find_clips(path, split)
    if clips is None:
        raise _unknown_layout(path, CLIP_LAYOUTS)
    return clips


def open_ground_truth(path: Path, split: str | None = None) -> Clips:
    """Open the clips at `path`, or label maps alone: `<clip>/<frame>.png`, `<clip>/<object>/<frame>.png`."""
    _require_path(path)
    return _find_clips(path, split) or open_label_tree(path)


def _frames_as_images(clips: Clips) -> Images:
    """Return every annotated frame of every clip as an image, named by clip and frame."""
    places = {f"{clip.name}/{clip.frame_names[k]}": (clip.name, k) for clip in clips for k in clip.annotated_frames}

    def build(name: str) -> AnnotatedImage:
        clip, frame = clips[places[name][0]], places[name][1]
        return AnnotatedImage(name, partial(_read_frame, clip, frame), partial(clip.annotation, frame))

    return Dataset(clips.kind, clips.split, clips.root, clips.license, tuple(places), build)


def _read_frame(clip: AnnotatedClip, frame: int) -> NDArray[np.uint8]:
    with closing(clip.video()) as video:
        return np.asarray(video[frame])


def _find_coco(path: Path, split: str | None) -> Images | None:
    if path.is_file():
        return open_coco(path) if path.suffix.lower() == ".json" else None
    candidates = {file for folder in (path, path / "annotations") for file in find_files(folder, *_COCO)}
    files = sorted(file for file in candidates if split is None or split in file.stem)
    names = ", ".join(sorted(file.stem for file in candidates))
    if candidates and not files:
        raise SettingsError("bad-usage", f"{path} has no split {split!r}; splits are {names}")
    if len(files) > 1:
        raise SettingsError(
            "bad-usage", f"{path} has several annotation files, {names}; choose one with --split, or pass the file"
        )
    return open_coco(files[0]) if files else None


def _find_sa1b(path: Path, split: str | None) -> Images | None:
    if path.is_file():
        return open_sa1b(path) if path.suffix.lower() == ".tar" else None
    folders = [path, *(folder for folder in list_entries(path) if folder.is_dir())]
    return open_sa1b(path) if any(find_files(folder, "sa_*.json", "sa_*.tar") for folder in folders) else None


def _find_image_folders(path: Path, split: str | None) -> Images | None:
    root = path / split if split else path
    pair = find_folder_pair(root)
    if pair is not None:
        return open_image_folders(*pair) if any(file.is_file() for file in list_entries(pair[0])) else None
    stems = {file.stem for file in find_files(root, "*.json")}
    is_labelme = any(has_image_suffix(file) and file.stem in stems for file in find_files(root, "*") if stems)
    return open_image_folders(root, root) if is_labelme else None


def _find_clips(path: Path, split: str | None) -> Clips | None:
    """Open the clips in a folder, which may be a split of its parent folder."""
    if path.is_file():
        return None
    if split is None and path.name in _SPLITS and find_folder_pair(path):
        path, split = path.parent, path.name
    for find in (_find_sav, _find_davis, _find_split_folders, _find_clip_folders):
        clips = find(path, split)
        if clips is not None:
            return clips
    return None


def _find_sav(path: Path, split: str | None) -> Clips | None:
    roots = {root.name.removeprefix("sav_"): root for root in (path / "sav_val", path / "sav_test") if root.is_dir()}
    if (path / FRAMES_FOLDER).is_dir():
        names = [name for name in ("val", "test") if (path / f"sav_{name}.txt").is_file()]
        return open_sav(path, _choose_split(path, split, names or ["val"]))
    if roots:
        chosen = _choose_split(path, split, list(roots))
        return open_sav(roots[chosen], chosen)
    all_kinds: list[Literal["manual", "auto"]] = ["manual", "auto"]
    kinds = [kind for kind in all_kinds if next(find_files_below(path, f"sav_*_{kind}.json"), None)]
    return open_sav_train(path, _choose_split(path, split, kinds)) if kinds else None


def _find_davis(path: Path, split: str | None) -> Clips | None:
    """Open DAVIS. `split` may start with the year, as in 2016/val. The default is 2017 if it exists."""
    if not (path / "ImageSets").is_dir():
        return None
    year, _, name = (split or "").rpartition("/")
    if year not in ("", "2016", "2017"):
        raise SettingsError("bad-usage", f"unknown year of DAVIS {year!r}; use 2016 or 2017")
    is_2017 = (path / "ImageSets" / "2017").is_dir() if not year else year == "2017"
    lists = [path / "ImageSets" / folder for folder in (["2017"] if is_2017 else ["2016", "480p"])]
    existing = {file.stem for folder in lists for file in find_files(folder, "*.txt")}
    ordered = [name for name in _SPLITS if name in existing] + sorted(existing - set(_SPLITS))
    return open_davis(path, _choose_split(path, name or None, ordered), year=2017 if is_2017 else 2016)


def _find_split_folders(path: Path, split: str | None) -> Clips | None:
    existing = [name for name in _SPLITS if (path / name / "JPEGImages").is_dir()]
    if not existing:
        return None
    name = _choose_split(path, split, existing)
    sparse = name.removesuffix(ALL_FRAMES)
    if any(file.is_file() for file in (path / name / f"{name}_meta.json", path / f"{name}_meta.json")):
        return open_lvos(path, name)
    return open_youtube_vos(path, name) if (path / sparse / "meta.json").is_file() else open_mose(path, name)


def _find_clip_folders(path: Path, split: str | None) -> Clips | None:
    root = path / split if split else path
    folders = (find_folder_pair(folder) for folder in (root, *skip_junk(root.iterdir())) if folder.is_dir())
    return open_clip_folders(root) if any(folders) else None


def _choose_split(path: Path, split: str | None, splits: list[Name]) -> Name:
    """Return the given split, or the first. Raises `SettingsError` if it does not exist."""
    chosen = next((name for name in splits if split in (None, name)), None)
    if chosen is None:
        raise SettingsError("bad-usage", f"{path} has no split {split!r}; splits are {', '.join(splits)}")
    return chosen


def _require_path(path: Path) -> None:
    if not path.exists():
        raise InputNotFound("input-not-found", f"{path}: no such dataset", path=str(path))


def _unknown_layout(path: Path, layouts: str) -> FormatError:
    return FormatError("dataset-broken", f"{path}: unknown dataset layout; layouts are {layouts}", path=str(path))

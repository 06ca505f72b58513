"""YouTube-VOS 2018 and 2019: many clips, objects that appear later, categories that training has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from masklet.datasets.dataset import AnnotatedClip, ClipObject, Clips, Dataset
from masklet.datasets.frame_folders import check_names, label_clip, picture_files
from masklet.files.image_files import natural_key
from masklet.files.json_fields import Fields, read_fields
from masklet.files.names import check_name

LICENCE = "annotations CC BY 4.0, pictures for research that is not commercial"
ALL_FRAMES = "_all_frames"
META = "meta.json"
CLIPS_OF_2018 = 474  # in valid; 2019 has 507


def open_youtube_vos(root: Path, split: str = "valid") -> Clips:
    """A split of YouTube-VOS below `root`: folders `JPEGImages` and `Annotations` and `meta.json` in `<split>`.

    `valid_all_frames` shows every frame (30 a second) and wants answers for those of valid, every fifth. The year is
    told by the number of clips in valid. Categories that `train/meta.json` has not are unseen. Raises `InputNotFound`
    or `FormatError` naming what is missing.
    """
    sparse = split.removesuffix(ALL_FRAMES)
    meta = root / sparse / META
    clips = _clips(meta)
    folders = [root / split / "JPEGImages", root / sparse / "Annotations", root / sparse / "JPEGImages"]
    return Dataset(
        kind=f"youtube-vos-{2018 if sparse == 'valid' and len(clips) == CLIPS_OF_2018 else 2019}",
        split=split,
        root=root,
        licence=LICENCE,
        names=tuple(check_names(sorted(clips, key=natural_key), *folders)),
        build=partial(_clip, folders, clips),
        unseen=_unseen(root / "train" / META, clips) if sparse != "train" else None,
    )


def _clips(meta: Path) -> dict[str, dict[int, Fields]]:
    """What the meta file says of each clip's objects, by the clip's checked name and the object's number."""
    videos = read_fields(meta).entries("videos")
    return {check_name(name, meta): about.numbered("objects") for name, about in videos.items()}


def _clip(folders: list[Path], clips: Mapping[str, Mapping[int, Fields]], name: str) -> AnnotatedClip:
    frames, labels, sparse = (folder / name for folder in folders)
    numbers = {frame: number for number, frame in enumerate(picture_files(frames))}
    objects = {key: _object(about, numbers) for key, about in clips[name].items()}
    return label_clip(name, frames, labels, objects=objects, wanted=picture_files(sparse))


def _object(about: Fields, numbers: Mapping[str, int]) -> ClipObject:
    missing = next((frame for frame in about.array("frames") if frame not in numbers), None)
    if missing is not None:
        raise about.error(f"the clip has no frame {missing!r}")
    return ClipObject(about.text("category", ""), frozenset(numbers[frame] for frame in about.array("frames")))


def _unseen(train: Path, clips: Mapping[str, Mapping[int, Fields]]) -> frozenset[str] | None:
    """The categories of these clips that training has not; None where either does not tell."""
    if not train.is_file():
        return None
    seen, here = _categories(_clips(train)), _categories(clips)
    return here - seen if here else None


def _categories(clips: Mapping[str, Mapping[int, Fields]]) -> frozenset[str]:
    named = (about.text("category", "") for objects in clips.values() for about in objects.values())
    return frozenset(filter(None, named))

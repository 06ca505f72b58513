"""YouTube-VOS 2018 and 2019: clips whose objects may appear later, with categories unseen in training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from masklet.datasets.dataset import AnnotatedClip, ClipObject, Clips, Dataset
from masklet.datasets.frame_folders import check_clip_folders, list_images, read_label_clip
from masklet.files.image_files import natural_key
from masklet.files.json_fields import Fields, read_fields
from masklet.files.names import check_name

LICENSE = "see the dataset's page"
ALL_FRAMES = "_all_frames"
META = "meta.json"
CLIPS_OF_2018 = 474  # in valid; 2019 has 507


def open_youtube_vos(root: Path, split: str = "valid") -> Clips:
    """Open a split of YouTube-VOS: `<split>/JPEGImages`, `<split>/Annotations` and `<split>/meta.json`.

    `valid_all_frames` has every frame (30 per second) and requires predictions for the frames of valid, every fifth.
    The number of clips in valid tells 2018 from 2019. Categories that are not in `train/meta.json` are unseen. Raises
    `InputNotFound` or `FormatError` with the missing file.
    """
    sparse = split.removesuffix(ALL_FRAMES)
    meta = root / sparse / META
    clips = _read_meta(meta)
    folders = [root / split / "JPEGImages", root / sparse / "Annotations", root / sparse / "JPEGImages"]
    return Dataset(
        kind=f"youtube-vos-{2018 if sparse == 'valid' and len(clips) == CLIPS_OF_2018 else 2019}",
        split=split,
        root=root,
        license=LICENSE,
        names=tuple(check_clip_folders(sorted(clips, key=natural_key), *folders)),
        build=partial(_read_clip, folders, clips),
        unseen=_find_unseen(root / "train" / META, clips) if sparse != "train" else None,
    )


def _read_meta(meta: Path) -> dict[str, dict[int, Fields]]:
    """Read the objects of each clip from the meta file, by checked clip name and object id."""
    videos = read_fields(meta).entries("videos")
    return {check_name(name, meta): fields.numbered("objects") for name, fields in videos.items()}


def _read_clip(folders: list[Path], clips: Mapping[str, Mapping[int, Fields]], name: str) -> AnnotatedClip:
    frames, labels, sparse = (folder / name for folder in folders)
    numbers = {frame: number for number, frame in enumerate(list_images(frames))}
    objects = {key: _parse_object(fields, numbers) for key, fields in clips[name].items()}
    return read_label_clip(name, frames, labels, objects=objects, required_frames=list_images(sparse))


def _parse_object(about: Fields, numbers: Mapping[str, int]) -> ClipObject:
    missing = next((frame for frame in about.array("frames") if frame not in numbers), None)
    if missing is not None:
        raise about.error(f"the clip has no frame {missing!r}")
    return ClipObject(about.text("category", ""), frozenset(numbers[frame] for frame in about.array("frames")))


def _find_unseen(train: Path, clips: Mapping[str, Mapping[int, Fields]]) -> frozenset[str] | None:
    """Return the categories of these clips that are not in train, or None if either has no categories."""
    if not train.is_file():
        return None
    seen, categories = _list_categories(_read_meta(train)), _list_categories(clips)
    return categories - seen if categories else None


def _list_categories(clips: Mapping[str, Mapping[int, Fields]]) -> frozenset[str]:
    categories = (fields.text("category", "") for objects in clips.values() for fields in objects.values())
    return frozenset(filter(None, categories))

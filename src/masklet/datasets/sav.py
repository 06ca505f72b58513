"""SA-V: videos at 24 frames per second with masks at 6; RLE for train, PNG files for val and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any, Literal

from masklet.datasets.annotation import Annotation, annotation_from_rle
from masklet.datasets.dataset import AnnotatedClip, ClipObject, Clips, Dataset
from masklet.datasets.frame_folders import (
    check_clip_folders,
    find_files,
    find_files_below,
    find_frame,
    list_clips,
    list_entries,
    list_images,
    parse_object_id,
    read_list,
)
from masklet.datasets.label_files import read_object_masks
from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import natural_key
from masklet.files.json_fields import name_errors, read_fields
from masklet.files.names import check_name

LICENSE = "CC BY 4.0"
FRAMES_FOLDER, MASKS_FOLDER = "JPEGImages_24fps", "Annotations_6fps"
STRIDE = 4  # video frames from one annotated frame to the next
FRAMES_PER_SECOND = 24

Code = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Masklets:
    """An annotation file of SA-V train: RLE per annotated frame and object.

    `size` is (H, W). `rows[i]` has the RLE on video frame `stride · i`, by position in `object_ids`, or None if the
    object was not annotated there. An object that is not visible has an empty mask.
    """

    video: str
    size: tuple[int, int]
    frame_count: int
    stride: int
    object_ids: tuple[int, ...]
    rows: Sequence[Sequence[Code | None]]


def open_sav_train(root: Path, kind: Literal["manual", "auto"] = "manual") -> Clips:
    """Open SA-V train in `root` and its subfolders: `<video>.mp4` beside `<video>_<kind>.json`.

    Instead of the mp4 there may be a folder `<video>` of frames, named by their index in the video. Frames on which an
    object was not annotated are skipped, as in the released training code. Raises `InputNotFound` or `FormatError`.
    """
    files = {path.name[: -len(f"_{kind}.json")]: path for path in find_files_below(root, f"*_{kind}.json")}
    if not files:
        raise InputNotFound("input-not-found", f"{root}: no *_{kind}.json in it or its subfolders")
    names = tuple(sorted(files, key=natural_key))
    return Dataset("sa-v", f"train, {kind}", root, LICENSE, names, partial(_read_train_clip, files))


def open_sav(root: Path, split: str = "val") -> Clips:
    """Open SA-V val or test: `JPEGImages_24fps/<video>`, `Annotations_6fps/<video>/<object>`, `sav_<split>.txt`.

    Without the list, all videos are read. Objects may overlap. Raises `InputNotFound` or `FormatError`.
    """
    frames, masks, listing = root / FRAMES_FOLDER, root / MASKS_FOLDER, root / f"sav_{split}.txt"
    if listing.is_file():
        names = tuple(check_clip_folders([check_name(name, listing) for name in read_list(listing)], frames, masks))
    else:
        names = list_clips(frames, masks)
    return Dataset("sa-v", split, root, LICENSE, names, partial(_read_test_clip, root))


def read_masklets(path: Path) -> Masklets:
    """Read the annotation file of one video. Raises `InputNotFound`, `FormatError` with the file and the field."""
    file = read_fields(path)
    rate = file.integer("fps", FRAMES_PER_SECOND // STRIDE)
    if not 1 <= rate <= FRAMES_PER_SECOND:
        raise file.error(f"'fps' must be 1 to {FRAMES_PER_SECOND}, got {rate}")
    masklets = Masklets(
        video=file.text("video_id"),
        size=(file.integer("video_height"), file.integer("video_width")),
        frame_count=file.integer("video_frame_count"),
        stride=FRAMES_PER_SECOND // rate,
        object_ids=tuple(file.integers("masklet_id")),
        rows=file.arrays("masklet"),
    )
    with name_errors(path):
        _check_masklets(masklets)
    return masklets


def _check_masklets(masklets: Masklets) -> None:
    count = len(masklets.object_ids)
    invalid = next((code for row in masklets.rows for code in row if not isinstance(code, dict | None)), None)
    if invalid is not None:
        raise FormatError("annotation-broken", f"a mask must be RLE or null, got {invalid!r:.60}")
    position = next((k for k, row in enumerate(masklets.rows) if len(row) != count), None)
    if position is not None:
        raise FormatError(
            "annotation-broken", f"row {position} has {len(masklets.rows[position])} masks for {count} objects"
        )
    if masklets.rows and (len(masklets.rows) - 1) * masklets.stride >= masklets.frame_count:
        counts = f"{len(masklets.rows)} rows, every {masklets.stride} frames, for {masklets.frame_count} frames"
        raise FormatError("annotation-broken", f"{counts} do not fit; check 'video_frame_count' and 'fps'")


def _read_train_clip(files: Mapping[str, Path], name: str) -> AnnotatedClip:
    masklets = read_masklets(files[name])
    source = next(
        iter(find_files(files[name].parent, f"{escape(name.lower())}.mp4")), files[name].with_name(f"{name}.mp4")
    )
    folder = files[name].with_name(name)
    names = tuple(f"{frame:05d}" for frame in range(masklets.frame_count))
    if folder.is_dir() and not source.is_file():
        source, names = folder, tuple(list_images(folder))
    numbers = {int(frame): number for number, frame in enumerate(names)}
    rows = {numbers.get(k * masklets.stride): _complete_row(masklets, row) for k, row in enumerate(masklets.rows)}
    annotations = {
        frame: partial(_read_row, files[name], codes, masklets.size)
        for frame, codes in rows.items()
        if frame is not None and codes is not None
    }
    return AnnotatedClip(name, source, names, annotations, dict.fromkeys(masklets.object_ids, ClipObject()))


def _complete_row(masklets: Masklets, row: Sequence[Code | None]) -> dict[int, Code] | None:
    """Return the RLE of one frame by object id, or None if an object was not annotated."""
    codes = {key: code for key, code in zip(masklets.object_ids, row, strict=True) if code is not None}
    return codes if len(codes) == len(row) else None


def _read_row(path: Path, codes: Mapping[int, Code], size: tuple[int, int]) -> Annotation:
    return annotation_from_rle(codes, size, path)


def _read_test_clip(root: Path, name: str) -> AnnotatedClip:
    frames, masks = root / FRAMES_FOLDER / name, root / MASKS_FOLDER / name
    names = tuple(list_images(frames))
    numbers = {frame: number for number, frame in enumerate(names)}
    paths: dict[int, dict[int, Path]] = {}
    objects = {parse_object_id(folder): folder for folder in list_entries(masks) if folder.is_dir()}
    if not objects:
        raise FormatError("dataset-broken", f"{masks}: no object folders in it")
    for key, folder in sorted(objects.items()):
        for stem, path in list_images(folder).items():
            paths.setdefault(find_frame(stem, numbers, frames), {})[key] = path
    annotations = {frame: partial(read_object_masks, masks_by_object) for frame, masks_by_object in paths.items()}
    return AnnotatedClip(name, frames, names, annotations, dict.fromkeys(objects, ClipObject()))

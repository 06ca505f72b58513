"""SA-V: videos at 24 frames a second, masklets at 6; run-length codes for training, PNGs for validation and test."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import Any, Literal

from masklet.datasets.annotation import Annotation, from_codes
from masklet.datasets.dataset import AnnotatedClip, ClipObject, Clips, Dataset
from masklet.datasets.frame_folders import (
    check_names,
    clip_names,
    entries,
    number_of,
    object_number,
    picture_files,
    read_list,
)
from masklet.datasets.label_files import read_object_masks
from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import natural_key
from masklet.files.json_fields import name_errors, read_fields
from masklet.files.names import check_name
from masklet.masks import rle

LICENCE = "CC BY 4.0"
FRAMES, MASKS = "JPEGImages_24fps", "Annotations_6fps"
STRIDE = 4  # video frames from one annotated frame to the next
FRAMES_PER_SECOND = 24

Code = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Masklets:
    """An annotation file of SA-V train: per annotated frame and object a run-length code; `size` is (H, W).

    `rows[i]` are the codes on video frame `stride · i`, by position in `object_ids`; None where nobody looked. An
    object that is not in the picture has an empty mask.
    """

    video: str
    size: tuple[int, int]
    frames: int
    stride: int
    object_ids: tuple[int, ...]
    rows: Sequence[Sequence[Code | None]]

    def areas(self, position: int) -> list[int]:
        """The area of one object on each annotated frame where somebody looked, in pixels."""
        codes = (row[position] for row in self.rows)
        return [rle.compute_area(code) for code in codes if code is not None]

    def visibility_changes(self, position: int) -> int:
        """How often one object goes out of view or comes back, after it was first seen."""
        visible = [area > 0 for area in dropwhile(operator.not_, self.areas(position))]
        return sum(before != after for before, after in pairwise(visible))

    def mean_area(self, position: int) -> float:
        """The mean area of one object over the frames that show it, 0 if none does."""
        shown = [area for area in self.areas(position) if area]
        return sum(shown) / len(shown) if shown else 0.0


def open_sav_train(root: Path, kind: Literal["manual", "auto"] = "manual") -> Clips:
    """SA-V train below `root`, sub-folders included: `<video>.mp4` beside `<video>_<kind>.json`.

    Instead of the mp4 there may be a folder `<video>` of frames named by their number in the video. Frames on which
    nobody looked at some object are left out, as in the released training. Raises `InputNotFound` or `FormatError`.
    """
    files = {path.name.removesuffix(f"_{kind}.json"): path for path in root.rglob(f"*_{kind}.json")}
    if not files:
        raise InputNotFound("input-not-found", f"{root}: no *_{kind}.json in it or below it")
    names = tuple(sorted(files, key=natural_key))
    return Dataset("sa-v", f"train, {kind}", root, LICENCE, names, partial(_train_clip, files))


def open_sav(root: Path, split: str = "val") -> Clips:
    """SA-V val or test in `root`: `JPEGImages_24fps/<video>`, `Annotations_6fps/<video>/<object>`, `sav_<split>.txt`.

    Without the list all videos that there are. Objects may overlap. Raises `InputNotFound` or `FormatError`.
    """
    frames, masks, listing = root / FRAMES, root / MASKS, root / f"sav_{split}.txt"
    if listing.is_file():
        names = tuple(check_names([check_name(name, listing) for name in read_list(listing)], frames, masks))
    else:
        names = clip_names(frames, masks)
    return Dataset("sa-v", split, root, LICENCE, names, partial(_test_clip, root))


def read_masklets(path: Path) -> Masklets:
    """The annotation file of one video. Raises `InputNotFound`, `FormatError` naming the file and what is wrong."""
    file = read_fields(path)
    rate = file.integer("fps", FRAMES_PER_SECOND // STRIDE)
    if not 1 <= rate <= FRAMES_PER_SECOND:
        raise file.error(f"'fps' must be 1 to {FRAMES_PER_SECOND}, got {rate}")
    masklets = Masklets(
        video=file.text("video_id"),
        size=(file.integer("video_height"), file.integer("video_width")),
        frames=file.integer("video_frame_count"),
        stride=FRAMES_PER_SECOND // rate,
        object_ids=tuple(file.integers("masklet_id")),
        rows=file.arrays("masklet"),
    )
    with name_errors(path):
        _check(masklets)
    return masklets


def _check(masklets: Masklets) -> None:
    count = len(masklets.object_ids)
    wrong = next((code for row in masklets.rows for code in row if not isinstance(code, dict | None)), None)
    if wrong is not None:
        raise FormatError("annotation-broken", f"a mask must be a run-length code or null, got {wrong!r:.60}")
    odd = next((k for k, row in enumerate(masklets.rows) if len(row) != count), None)
    if odd is not None:
        raise FormatError(
            "annotation-broken", f"row {odd} has {len(masklets.rows[odd])} masks, there are {count} objects"
        )
    if masklets.rows and (len(masklets.rows) - 1) * masklets.stride >= masklets.frames:
        found = f"{len(masklets.rows)} rows, every {masklets.stride} frames, for {masklets.frames} frames"
        raise FormatError("annotation-broken", f"there are {found}; these do not fit")


def _train_clip(files: Mapping[str, Path], name: str) -> AnnotatedClip:
    masklets = read_masklets(files[name])
    source = files[name].with_name(f"{name}.mp4")
    folder = files[name].with_name(name)
    names = tuple(f"{frame:05d}" for frame in range(masklets.frames))
    if folder.is_dir() and not source.is_file():
        source, names = folder, tuple(picture_files(folder))
    numbers = {int(frame): number for number, frame in enumerate(names)}
    rows = {numbers.get(k * masklets.stride): _codes(masklets, row) for k, row in enumerate(masklets.rows)}
    annotations = {
        frame: partial(_row, files[name], codes, masklets.size)
        for frame, codes in rows.items()
        if frame is not None and codes is not None
    }
    return AnnotatedClip(name, source, names, annotations, dict.fromkeys(masklets.object_ids, ClipObject()))


def _codes(masklets: Masklets, row: Sequence[Code | None]) -> dict[int, Code] | None:
    """The codes of one frame by object; None where nobody looked at some object."""
    codes = {key: code for key, code in zip(masklets.object_ids, row, strict=True) if code is not None}
    return codes if len(codes) == len(row) else None


def _row(path: Path, codes: Mapping[int, Code], size: tuple[int, int]) -> Annotation:
    return from_codes(codes, size, path)


def _test_clip(root: Path, name: str) -> AnnotatedClip:
    frames, masks = root / FRAMES / name, root / MASKS / name
    names = tuple(picture_files(frames))
    numbers = {frame: number for number, frame in enumerate(names)}
    paths: dict[int, dict[int, Path]] = {}
    objects = {object_number(folder): folder for folder in entries(masks) if folder.is_dir()}
    if not objects:
        raise FormatError("dataset-broken", f"{masks}: no folders of objects in it")
    for key, folder in sorted(objects.items()):
        for stem, path in picture_files(folder).items():
            paths.setdefault(number_of(stem, numbers, frames), {})[key] = path
    annotations = {frame: partial(read_object_masks, found) for frame, found in paths.items()}
    return AnnotatedClip(name, frames, names, annotations, dict.fromkeys(objects, ClipObject()))

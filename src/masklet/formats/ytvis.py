"""YouTube-VIS: a JSON file of a video with an annotation per object, which has RLE or null for every frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from masklet.files.json_fields import Fields, name_errors, read_fields
from masklet.formats.coco import encode_segmentation, list_categories, read_categories
from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_masks import MAX_FRAMES, ReadMask, build_frame
from masklet.formats.image_layout import ImageLayout
from masklet.masks import rle
from masklet.masks.labels import read_label
from masklet.masks.rle_frame import RleFrame, RleMask
from masklet.masks.tracked_frame import TrackedFrame


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write the video, then each object. The frames are iterated once per object and list, and not stored."""
    first = next(iter(frames), None)
    assert first is not None, "a video has frames"
    height, width = first.size
    handle.write(f'{{"categories": {json.dumps(list_categories(clip))},\n"videos": [\n'.encode())
    handle.write(f'{{"id": 1, "name": {json.dumps(clip.name)}, "height": {height}, "width": {width}'.encode())
    for name, value in {
        "file_names": (clip.image_name(frame.index) for frame in frames),
        "frame_indices": (frame.index for frame in frames),
        "times": (frame.time for frame in frames),
    }.items():
        _write_list(handle, name, value)
    handle.write(f', "length": {sum(1 for _ in frames)}}}\n],\n"annotations": ['.encode())
    classes = clip.number_classes(first=1)
    for number, object_id in enumerate(clip.object_ids):
        handle.write(b",\n" if number else b"\n")
        head = {"id": object_id, "video_id": 1, "category_id": classes[clip.class_of(object_id)], "iscrowd": 0}
        _write_object(handle, frames, {**head, "height": height, "width": width})
    handle.write(b"\n]}\n")


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of the first video of a YouTube-VIS file.

    An object is an annotation by its `id`. Its label is the name of its category, except `UNLABELED`.
    """
    return read_frames(read_fields(path))


def read_frames(file: Fields) -> Iterator[TrackedFrame]:
    """Read the frames of a parsed file."""
    video = next(file.objects("videos"), None)
    if video is None:
        raise file.error("it has no video")
    size, length = (video.integer("height"), video.integer("width")), video.integer("length")
    if not 0 <= length <= MAX_FRAMES:
        raise video.error(f"'length' must be 0 to {MAX_FRAMES} frames, got {length}")
    indices = range(length) if video.get("frame_indices") is None else video.integers("frame_indices")
    if len(indices) != length:
        raise video.error(f"'frame_indices' must be a list of {length} numbers, got {len(indices)}")
    times = _numbers(video, "times", length)
    rows = (row for row in file.objects("annotations") if row.integer("video_id") == video.integer("id"))
    categories = read_categories(file)
    tracks = [_track(row, length, categories) for row in rows]
    for position in range(length):
        masks = [mask for track in tracks for mask in _mask_at(track, position, size)]
        with name_errors(file.source):
            frame = build_frame(indices[position], times[position], size, masks)
        yield frame


YTVIS = FileFormat("ytvis", "ytvis.json", write, read, images=ImageLayout("frames"))


def _write_object(handle: BinaryIO, frames: Iterable[RleFrame], head: Mapping[str, int]) -> None:
    handle.write(json.dumps(head)[:-1].encode())
    parts: dict[str, Callable[[RleMask], Any]] = {
        "segmentations": lambda mask: mask.rle,
        "bboxes": lambda mask: rle.compute_coco_box(mask.rle),
        "areas": lambda mask: rle.compute_area(mask.rle),
        "scores": lambda mask: mask.score,
    }
    for name, part in parts.items():
        masks = (_find_mask(frame, head["id"]) for frame in frames)
        _write_list(handle, name, (None if mask is None else part(mask) for mask in masks))
    handle.write(b"}")


def _find_mask(frame: RleFrame, object_id: int) -> RleMask | None:
    mask = frame.of(object_id)
    return mask if mask is not None and rle.compute_area(mask.rle) else None


def _write_list(handle: BinaryIO, name: str, values: Iterable[Any]) -> None:
    handle.write(f', "{name}": ['.encode())
    for number, value in enumerate(values):
        handle.write((", " if number else "").encode() + json.dumps(value, allow_nan=False).encode())
    handle.write(b"]")


class _Track(NamedTuple):
    """An object: its label, and its segmentation or null and score on every frame."""

    object_id: int
    label: str | None
    segmentations: list[Any]
    scores: list[float | None]
    place: str


def _track(row: Fields, length: int, categories: Mapping[int, str]) -> _Track:
    segmentations = row.array("segmentations")
    if len(segmentations) != length:
        raise row.error(f"'segmentations' must have {length} entries, one per frame, got {len(segmentations)}")
    with name_errors(row.place):
        label = None if row.get("category_id") is None else read_label(categories.get(row.integer("category_id")))
    return _Track(row.integer("id"), label, segmentations, _numbers(row, "scores", length), row.place)


def _mask_at(track: _Track, place: int, size: tuple[int, int]) -> Iterator[ReadMask]:
    """Yield the object's mask on a frame, if it has one."""
    if track.segmentations[place] is not None:
        score = track.scores[place]
        with name_errors(track.place):
            code = encode_segmentation(track.segmentations[place], size)
        yield ReadMask(track.object_id, 1.0 if score is None else score, code, track.label)


def _numbers(row: Fields, name: str, length: int) -> list[float | None]:
    """Read a list with a number or null per frame."""
    if row.get(name) is None:
        return [None] * length
    values = row.array(name)
    is_valid = all(value is None or (isinstance(value, int | float) and abs(value) < 2**1023) for value in values)
    if len(values) != length or not is_valid:
        raise row.error(f"{name!r} must be a list of {length} numbers")
    return [None if value is None else float(value) for value in values]

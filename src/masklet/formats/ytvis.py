"""YouTube-VIS: a JSON file of a video with an annotation per object, which has RLE or null for every frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

from masklet.formats.coco import list_categories
from masklet.formats.format import Clip, FileFormat
from masklet.formats.image_layout import ImageLayout
from masklet.formats.ytvis_reader import read
from masklet.masks import rle
from masklet.masks.rle_frame import RleFrame, RleMask


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

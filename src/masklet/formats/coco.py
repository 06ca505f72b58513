"""COCO: all masks of images or of a video in one JSON file, an entry per image and an annotation per mask.

`masklet.formats.coco_reader` reads such files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from masklet.formats.coco_reader import read
from masklet.formats.format import Clip, FileFormat
from masklet.formats.image_layout import ImageLayout
from masklet.masks import rle
from masklet.masks.rle_frame import RleFrame


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a category per label, the images, then an annotation per mask that is not empty."""
    handle.write(f'{{"categories": {json.dumps(list_categories(clip))},\n'.encode())
    _write_rows(handle, "images", (_image_entry(frame, clip) for frame in frames))
    handle.write(b",\n")
    _write_rows(handle, "annotations", _annotation_entries(frames, clip))
    handle.write(b"}\n")


COCO = FileFormat("coco", "coco.json", write, read, images=ImageLayout("frames"))


def _write_rows(handle: BinaryIO, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a list of JSON objects, one per line."""
    handle.write(f'"{name}": ['.encode())
    for number, row in enumerate(rows):
        handle.write((",\n" if number else "\n").encode() + json.dumps(row, allow_nan=False).encode())
    handle.write(b"\n]")


def list_categories(clip: Clip) -> list[dict[str, Any]]:
    """List the categories of a clip, one per label. Objects without a label are of the category `UNLABELED`."""
    return [{"id": number, "name": name} for name, number in clip.number_classes(first=1).items()]


def _image_entry(frame: RleFrame, clip: Clip) -> dict[str, Any]:
    height, width = frame.size
    return {
        "id": frame.index + 1,
        "file_name": clip.image_name(frame.index),
        "height": height,
        "width": width,
        "frame_index": frame.index,
        "time": frame.time,
    }


def _annotation_entries(frames: Iterable[RleFrame], clip: Clip) -> Iterator[dict[str, Any]]:
    number, classes = 0, clip.number_classes(first=1)
    for frame in frames:
        for mask in frame:
            if area := rle.compute_area(mask.rle):
                number += 1
                yield {
                    "id": number,
                    "image_id": frame.index + 1,
                    "category_id": classes[clip.class_of(mask.object_id)],
                    "track_id": mask.object_id,
                    "segmentation": mask.rle,
                    "area": area,
                    "bbox": rle.compute_coco_box(mask.rle),
                    "iscrowd": 0,
                    "score": mask.score,
                }

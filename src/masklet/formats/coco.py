"""All masks of a video as one COCO JSON file: a picture per frame, an annotation per mask, run-length codes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from masklet import rle
from masklet.coded import CodedFrame
from masklet.errors import FormatError
from masklet.formats.form import Clip, FileFormat
from masklet.formats.outlines import fill
from masklet.formats.records import Fields, ReadMask, frame_of, read_json
from masklet.propagate import TrackedFrame

CATEGORY = {"id": 1, "name": "object"}  # tracking does not name things; `track_id` tells objects apart


def write(handle: BinaryIO, frames: Iterable[CodedFrame], clip: Clip) -> None:
    """Pictures first, then annotations of all masks that are not empty."""
    handle.write(f'{{"categories": {json.dumps([CATEGORY])},\n'.encode())
    write_rows(handle, "images", (_picture(frame, clip) for frame in frames))
    handle.write(b",\n")
    write_rows(handle, "annotations", _annotations(frames))
    handle.write(b"}\n")


def read(path: Path) -> Iterator[TrackedFrame]:
    """The frames of a COCO file, ours or another tool's.

    A picture's frame is its `frame_index`, else its place in the list; an object is a `track_id` or `instance_id`, else
    an annotation by its `id`. Polygons are filled. Raises `FormatError`.
    """
    file = Fields(read_json(path), path)
    masks: dict[int, list[tuple[ReadMask, Any]]] = {}
    for row in file.each("annotations"):
        object_id = row.whole("track_id", row.whole("instance_id", row.whole("id")))
        read_mask = ReadMask(object_id, row.number("score", 1.0), {})
        masks.setdefault(row.whole("image_id"), []).append((read_mask, row.get("segmentation")))
    for place, row in enumerate(file.each("images")):
        size = row.whole("height"), row.whole("width")
        found = [mask._replace(code=as_code(code, size, path)) for mask, code in masks.pop(row.whole("id"), [])]
        yield frame_of(row.whole("frame_index", place), time_of(row), size, found)
    if masks:
        raise FormatError("annotation-broken", f"{path}: no picture {next(iter(masks))}, but annotations of it")


COCO = FileFormat("coco", "coco.json", write, read)


def write_rows(handle: BinaryIO, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """A list of JSON objects, each on a line of its own."""
    handle.write(f'"{name}": ['.encode())
    for number, row in enumerate(rows):
        handle.write((",\n" if number else "\n").encode() + json.dumps(row, allow_nan=False).encode())
    handle.write(b"\n]")


def as_code(segmentation: Any, size: tuple[int, int], path: Path) -> Mapping[str, Any]:
    """A run-length code of what COCO calls a segmentation: such a code, or polygons of flat coordinates."""
    if isinstance(segmentation, Mapping):
        return segmentation
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, str | bytes):
        raise FormatError("annotation-broken", f"{path}: a segmentation must be a code or a list of polygons")
    return rle.encode(fill([_points(flat, path) for flat in segmentation], size))


def time_of(row: Fields) -> float | None:
    """A frame's time in seconds, if the file tells it."""
    return None if row.get("time") is None else row.number("time", 0.0)


def _picture(frame: CodedFrame, clip: Clip) -> dict[str, Any]:
    height, width = frame.size
    return {
        "id": frame.index + 1,
        "file_name": clip.picture(frame.index),
        "height": height,
        "width": width,
        "frame_index": frame.index,
        "time": frame.time,
    }


def _annotations(frames: Iterable[CodedFrame]) -> Iterator[dict[str, Any]]:
    number = 0
    for frame in frames:
        for mask in frame:
            if area := rle.area(mask.code):
                number += 1
                yield {
                    "id": number,
                    "image_id": frame.index + 1,
                    "category_id": CATEGORY["id"],
                    "track_id": mask.object_id,
                    "segmentation": mask.code,
                    "area": area,
                    "bbox": rle.xywh(mask.code),
                    "iscrowd": 0,
                    "score": mask.score,
                }


def _points(flat: Any, path: Path) -> Any:
    if not isinstance(flat, Sequence) or len(flat) < 6 or len(flat) % 2:
        raise FormatError("annotation-broken", f"{path}: a polygon needs at least three pairs of coordinates")
    try:
        return np.array(flat, np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as cause:
        raise FormatError("annotation-broken", f"{path}: a polygon must be a list of numbers") from cause

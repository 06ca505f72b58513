"""Prompt files: the prompts of a video or of images as JSON, by frame or image and by object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from masklet.errors import FormatError, PromptError
from masklet.files.json_fields import Fields, read_json
from masklet.files.names import check_relative, clean_file_name
from masklet.formats import masks_at
from masklet.masks import rle
from masklet.prompts import Prompt, absent, box, clicks, mask

_FIELDS = ("object", "points", "box", "mask", "absent", "label")
Place = TypeVar("Place", int, str)


class _Row(NamedTuple):
    """One entry of a prompt file, and its place in error messages."""

    fields: Fields
    path: Path
    where: str

    def error(self, message: str) -> FormatError:
        return FormatError("annotation-broken", f"{self.where}{message}", path=str(self.path))


def read_frame_prompts(path: Path) -> list[tuple[int, int, Prompt]]:
    """Read the prompts of a video.

    An example of a file:

        {"prompts": [{"frame": 0, "object": 1, "points": [[230, 150, 1], [90, 60, 0]], "box": [40, 20, 420, 290]},
                     {"frame": 12, "object": 2, "mask": "second.png", "label": "dog"}]}

    A point is [x, y, label] in pixels, with label 1 on the object and 0 off it. `"absent": true` declares that the
    object is not on the frame. A mask is a COCO RLE, or the name of a file in the folder of this file or below it.
    `"label"` is the label of the object; by default that of the mask.

    Returns:
        Frame, object id and prompt of each entry.

    Raises:
        InputNotFound: A file is missing or cannot be read.
        FormatError: The file is not of this form, or an entry names an image.
        PromptError: A prompt is invalid.
    """
    return _parse_rows(read_json(path), path, "frame", _parse_frame)


def read_image_prompts(path: Path) -> list[tuple[str, int, Prompt]]:
    """Read the prompts of images from a file as `read_frame_prompts` reads it, with `"image"` in place of `"frame"`.

    Returns:
        Image, object id and prompt of each entry. An image is the relative path of a file.

    Raises:
        InputNotFound: A file is missing or cannot be read.
        FormatError: The file is not of this form, or an entry names a frame, no image, or an image elsewhere.
        PromptError: A prompt is invalid.
    """
    return parse_image_prompts(read_json(path), path)


def parse_image_prompts(document: Any, path: Path) -> list[tuple[str, int, Prompt]]:
    """Parse the content of a file. See `read_image_prompts`."""
    return _parse_rows(document, path, "image", _parse_image)


def _parse_rows(
    document: Any, path: Path, place: str, parse_place: Callable[[_Row], Place]
) -> list[tuple[Place, int, Prompt]]:
    listed = Fields(document if isinstance(document, dict) else {"prompts": document}, path)
    rows = [_Row(fields, path, f"{path}, prompt {number}") for number, fields in enumerate(listed.objects("prompts"))]
    return [_parse_row(row, place, parse_place) for row in rows]


def _parse_row(row: _Row, place: str, parse_place: Callable[[_Row], Place]) -> tuple[Place, int, Prompt]:
    unknown = row.fields.names - {"frame", "image", *_FIELDS}
    if unknown:
        raise row.error(f": unknown field {min(unknown)!r}; known fields are {', '.join((place, *_FIELDS))}")
    where, object_id = parse_place(row), row.fields.integer("object", 1)
    if object_id < 1:
        raise row.error(f": objects are numbered from 1, got object {object_id}")
    try:
        prompt = _parse_prompt(row, where if isinstance(where, int) else 0, object_id)
    except PromptError as error:
        raise PromptError(error.code, f"{row.where}: {error.message}") from error
    return where, object_id, prompt


def _parse_frame(row: _Row) -> int:
    if "image" in row.fields:
        raise row.error(": 'image' names one of several images; in a video, 'frame' is the number of the frame")
    frame = row.fields.integer("frame", 0)
    if frame < 0:
        raise row.error(f": frames are numbered from 0, got frame {frame}")
    return frame


def _parse_image(row: _Row) -> str:
    if "frame" in row.fields:
        raise row.error(": an image has no frames; 'image' is the name of the image, such as \"cat.jpg\"")
    if "image" not in row.fields:
        raise row.error(' names no image; add a field \'image\', such as "image": "cat.jpg"')
    return check_relative(clean_file_name(row.fields.get("image")), row.where)


def _parse_prompt(row: _Row, frame: int, object_id: int) -> Prompt:
    absence = absent() if row.fields.get("absent") is True else None
    parts = [absence, _parse_box(row.fields), _parse_points(row.fields), _parse_mask(row, frame, object_id)]
    prompts = [part for part in parts if part is not None]
    if not prompts:
        raise row.error(" has no points, box or mask; add one of them")
    joined = prompts[0]
    for part in prompts[1:]:
        joined = joined + part
    return replace(joined, label=row.fields.text("label")) if "label" in row.fields else joined


def _parse_box(row: Fields) -> Prompt | None:
    corners = row.get("box")
    if corners is None:
        return None
    if not _are_numbers(corners, 4):
        raise PromptError("bad-prompt", f"a box must be [x0, y0, x1, y1], got {corners!r:.60}")
    return box(*corners)


def _parse_points(row: Fields) -> Prompt | None:
    points = row.get("points")
    if not points:
        return None
    if not isinstance(points, list) or not all(_are_numbers(point, 3) for point in points):
        raise PromptError("bad-prompt", f"points must be [[x, y, 1 or 0], …], got {points!r:.60}")
    return clicks([point[:2] for point in points], [point[2] for point in points])


def _parse_mask(row: _Row, frame: int, object_id: int) -> Prompt | None:
    value = row.fields.get("mask")
    if value is None:
        return None
    if isinstance(value, dict):
        return mask(rle.decode(value))
    if not isinstance(value, str):
        raise PromptError("bad-prompt", f"a mask must be a file name or a COCO RLE, got {value!r:.60}")
    masks = masks_at(row.path.parent / check_relative(clean_file_name(value), row.path), frame)
    one = masks if len(masks) == 1 else masks.of(object_id)
    return mask(one.binary[0], label=one.labels[0])


def _are_numbers(values: Any, count: int) -> bool:
    kinds = (int, float)
    return isinstance(values, list) and len(values) == count and all(isinstance(value, kinds) for value in values)

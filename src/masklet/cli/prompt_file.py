"""Prompt files: the prompts of a video as JSON, by frame and object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from masklet.errors import FormatError, PromptError
from masklet.files.json_fields import Fields, read_json
from masklet.files.names import check_relative
from masklet.formats import masks_at
from masklet.masks import rle
from masklet.prompts import Prompt, absent, box, clicks, mask

_FIELDS = {"frame", "object", "points", "box", "mask", "absent"}


def read_prompts(path: Path) -> list[tuple[int, int, Prompt]]:
    """Read the prompts of a video.

    An example of a file:

        {"prompts": [{"frame": 0, "object": 1, "points": [[230, 150, 1], [90, 60, 0]], "box": [40, 20, 420, 290]},
                     {"frame": 12, "object": 2, "mask": "second.png"}]}

    A point is [x, y, label] in pixels, with label 1 on the object and 0 off it. `"absent": true` declares that the
    object is not on the frame. A mask is a COCO RLE, or the name of a file in the folder of this file or below it.

    Returns:
        Frame, object id and prompt of each entry.

    Raises:
        InputNotFound: A file is missing or cannot be read.
        FormatError: The file is not of this form.
        PromptError: A prompt is invalid.
    """
    document = read_json(path)
    rows = Fields(document if isinstance(document, dict) else {"prompts": document}, path)
    return [_parse_row(row, number, path) for number, row in enumerate(rows.objects("prompts"))]


def _parse_row(row: Fields, number: int, path: Path) -> tuple[int, int, Prompt]:
    where = f"{path}, prompt {number}"
    unknown = row.names - _FIELDS
    if unknown:
        raise FormatError(
            "annotation-broken", f"{where}: unknown field {min(unknown)!r}; known fields are {sorted(_FIELDS)}"
        )
    frame, object_id = row.integer("frame", 0), row.integer("object", 1)
    if frame < 0 or object_id < 1:
        raise FormatError(
            "annotation-broken",
            f"{where}: frames are numbered from 0 and objects from 1, got frame {frame}, object {object_id}",
        )
    try:
        absence = absent() if row.get("absent") is True else None
        parts = [absence, _parse_box(row), _parse_points(row), _parse_mask(row, path, frame, object_id)]
    except PromptError as error:
        raise PromptError(error.code, f"{where}: {error.message}") from error
    prompts = [part for part in parts if part is not None]
    if not prompts:
        raise FormatError("annotation-broken", f"{where} has no points, box or mask; add one of them")
    joined = prompts[0]
    for part in prompts[1:]:
        joined = joined + part
    return frame, object_id, joined


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


def _parse_mask(row: Fields, path: Path, frame: int, object_id: int) -> Prompt | None:
    value = row.get("mask")
    if value is None:
        return None
    if isinstance(value, dict):
        return mask(rle.decode(value))
    if not isinstance(value, str):
        raise PromptError("bad-prompt", f"a mask must be a file name or a COCO RLE, got {value!r:.60}")
    masks = masks_at(path.parent / check_relative(value, path), frame)
    return mask(np.asarray((masks if len(masks) == 1 else masks.of(object_id)).binary[0]))


def _are_numbers(values: Any, count: int) -> bool:
    kinds = (int, float)
    return isinstance(values, list) and len(values) == count and all(isinstance(value, kinds) for value in values)

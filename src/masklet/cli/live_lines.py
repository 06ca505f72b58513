"""Live lines: a line of JSON on stdout for each frame of a live video, for programs that read while it runs."""

from __future__ import annotations

import json
import time
from typing import Any

from masklet.cli import console
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame


def print_frame(frame: RleFrame, masks: Masks, *, arrival_time: float, dropped: int) -> None:
    """Print the masks of a frame, and flush.

    Args:
        frame: The frame with its masks as RLE.
        masks: The same masks.
        arrival_time: The value of `time.monotonic()` when the image was read from the camera.
        dropped: The number of images that were dropped so far.
    """
    now = time.monotonic()
    record = {
        "event": "frame",
        "frame": frame.index,
        "time": frame.time,
        "captured_at": round(time.time() - (now - arrival_time), 6),
        "latency_ms": round(1000 * (now - arrival_time), 3),
        "dropped": dropped,
        "size": [*frame.size],
        "objects": _describe_objects(frame, masks),
    }
    print_record(record)


def print_record(record: dict[str, Any]) -> None:
    """Print an object as one line, and flush. Raises `ResourceError` or `BrokenPipeError`."""
    console.print_line(json.dumps(record, allow_nan=False, default=str))
    console.flush_stdout()


def _describe_objects(frame: RleFrame, masks: Masks) -> list[dict[str, Any]]:
    columns = (frame, masks.visible.tolist(), masks.areas.tolist(), masks.boxes.tolist())
    return [
        {
            "id": mask.object_id,
            "label": mask.label,
            "visible": visible and area > 0,
            "score": round(mask.score, 4),
            "area": area,
            "box": box if area else None,
            "rle": mask.rle,
        }
        for mask, visible, area, box in zip(*columns, strict=True)
    ]

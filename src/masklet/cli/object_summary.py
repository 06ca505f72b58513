"""Object summaries: the frames on which each object is visible, its lowest score, its label and its detection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from masklet.masks import rle
from masklet.masks.rle_frame import RleFrame, RleMask


def summarize_objects(frames: Iterable[RleFrame], object_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return one record per object. Those with a label or a detection have it too.

    Args:
        frames: Frames in ascending order.
        object_ids: The ids of all objects of the frames.
    """
    records = {object_id: _empty_record(object_id) for object_id in object_ids}
    for frame in frames:
        for mask in frame:
            if rle.compute_area(mask.rle):
                _update(records[mask.object_id], frame.index, mask)
        for detection in frame.detections:
            record = records[detection.object_id]
            record["detection_score"] = max(record.get("detection_score", 0.0), round(detection.score, 4))
    return [*records.values()]


def _empty_record(object_id: int) -> dict[str, Any]:
    return {
        "id": object_id,
        "first_frame": None,
        "last_frame": None,
        "visible_frames": 0,
        "lowest_score": None,
        "lowest_score_frame": None,
    }


def _update(record: dict[str, Any], index: int, mask: RleMask) -> None:
    record |= {"label": mask.label} if mask.label else {}
    record["visible_frames"] += 1
    record["last_frame"] = index
    record["first_frame"] = index if record["first_frame"] is None else record["first_frame"]
    score = round(mask.score, 4)
    if record["lowest_score"] is None or score < record["lowest_score"]:
        record["lowest_score"], record["lowest_score_frame"] = score, index

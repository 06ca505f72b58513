"""What came of each object: where it is to be seen, and where the network was least sure of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from masklet.masks import rle
from masklet.masks.rle_frame import CodedFrame, CodedMask


def object_records(frames: Iterable[CodedFrame], object_ids: Sequence[int]) -> list[dict[str, Any]]:
    """A record for each of the objects, which are all that the frames, sorted, have."""
    seen = {object_id: _unseen(object_id) for object_id in object_ids}
    for frame in frames:
        for mask in frame:
            if rle.area(mask.code):
                _note(seen[mask.object_id], frame.index, mask)
    return [*seen.values()]


def _unseen(object_id: int) -> dict[str, Any]:
    return {
        "id": object_id,
        "first_frame": None,
        "last_frame": None,
        "visible_frames": 0,
        "lowest_score": None,
        "lowest_score_frame": None,
    }


def _note(record: dict[str, Any], index: int, mask: CodedMask) -> None:
    record["visible_frames"] += 1
    record["last_frame"] = index
    record["first_frame"] = index if record["first_frame"] is None else record["first_frame"]
    score = round(mask.score, 4)
    if record["lowest_score"] is None or score < record["lowest_score"]:
        record["lowest_score"], record["lowest_score_frame"] = score, index

"""RLE masks of one frame of a video, exact to the pixel, for storing the masks of all frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from masklet.masks.masks import Masks, format_object_ids
from masklet.masks.object_detection import ObjectDetection
from masklet.masks.soft_edges import encode_edge
from masklet.masks.tracked_frame import TrackedFrame


class RleMask(NamedTuple):
    """The mask of one object on one frame.

    Attributes:
        object_id: The object.
        score: The predicted IoU.
        object_score: A logit that is positive where the object is visible.
        rle: COCO's RLE of the mask.
        label: The label of the object, the name of its class, or None.
        edge: The soft edge of the mask, see `soft_edges`; None if it is not stored.
    """

    object_id: int
    score: float
    object_score: float
    rle: dict[str, Any]
    label: str | None = None
    edge: str | None = None


@dataclass(frozen=True, slots=True)
class RleFrame:
    """The masks of one frame as they are stored and written.

    Attributes:
        index: Number of the frame in its video, from 0.
        time: Presentation time in seconds, or None if the source has none.
        size: Size (H, W) of the frame.
        object_ids: The N object ids.
        scores: N predicted IoUs.
        object_scores: N logits that are positive where the object is visible.
        counts: N compressed run-length encodings, as `counts` of COCO's RLE. A hidden object has an empty mask.
        corrupt: Whether the frame could not be decoded.
        labels: N labels of the objects, the names of their classes, or None. By default all are None.
        detections: What a detector found on the frame, if it ran on it.
        edges: N soft edges of the masks, see `soft_edges`, or None. By default all are None.
    """

    index: int
    time: float | None
    size: tuple[int, int]
    object_ids: tuple[int, ...]
    scores: tuple[float, ...]
    object_scores: tuple[float, ...]
    counts: tuple[str, ...]
    corrupt: bool = False
    labels: tuple[str | None, ...] = ()
    detections: tuple[ObjectDetection, ...] = ()
    edges: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", self.labels or (None,) * len(self.object_ids))
        object.__setattr__(self, "edges", self.edges or (None,) * len(self.object_ids))

    def __repr__(self) -> str:
        ids = format_object_ids(self.object_ids)
        return f"RleFrame(index={self.index}, time={self.time}, size={self.size}, object_ids={ids})"

    def __iter__(self) -> Iterator[RleMask]:
        columns = (self.object_ids, self.scores, self.object_scores, self.counts, self.labels, self.edges)
        for object_id, score, object_score, counts, label, edge in zip(*columns, strict=True):
            yield RleMask(object_id, score, object_score, {"size": list(self.size), "counts": counts}, label, edge)

    def of(self, object_id: int) -> RleMask | None:
        """Return the mask of an object, or None if the frame does not have it."""
        return next((mask for mask in self if mask.object_id == object_id), None)

    def decode(self) -> TrackedFrame:
        """Decode the masks. Their logits are ±10, since only the masks themselves are stored."""
        if not self.object_ids:
            empty = Masks.empty(self.size)
            return TrackedFrame(self.index, self.time, empty, self.corrupt, detections=self.detections)
        codes = [mask.rle for mask in self]
        masks = Masks.from_rle(codes, object_ids=self.object_ids, scores=self.scores, labels=self.labels)
        object_scores = np.array(self.object_scores, np.float32)
        masks = replace(masks, object_scores=object_scores)
        return TrackedFrame(self.index, self.time, masks, self.corrupt, detections=self.detections)


def encode_frame(frame: TrackedFrame, *, with_edges: bool = False) -> RleFrame:
    """Encode the masks of a tracked frame as RLE, and their soft edges on request."""
    masks = frame.masks
    return RleFrame(
        index=frame.index,
        time=frame.time,
        size=masks.size,
        object_ids=masks.object_ids,
        scores=tuple(masks.scores.tolist()),
        object_scores=tuple(masks.object_scores.tolist()),
        counts=tuple(rle["counts"] for rle in masks.to_rle()),
        corrupt=frame.corrupt,
        labels=masks.labels,
        detections=frame.detections,
        edges=tuple(encode_edge(mask.binary[0], mask.logits[0]) for mask in masks) if with_edges else (),
    )


def list_object_ids(frames: Iterable[RleFrame]) -> list[int]:
    """List the ids of all objects of a video in ascending order."""
    return sorted({object_id for frame in frames for object_id in frame.object_ids})


def collect_labels(frames: Iterable[RleFrame]) -> dict[int, str]:
    """Collect the labels of the objects of a video, by object id. The last frame with a label of an object counts."""
    return {
        object_id: label
        for frame in frames
        for object_id, label in zip(frame.object_ids, frame.labels, strict=True)
        if label
    }

"""Detections: boxes in an image with labels and scores, as detectors return them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklet.errors import BackendError, MaskletError, PromptError
from masklet.masks.iou import box_iou
from masklet.masks.nms import suppress_overlaps
from masklet.prompts import check_label

_SAME_CLASS_IOU = 0.5  # box IoU above which the weaker of two detections of one class is a duplicate
_OTHER_CLASS_IOU = 0.8  # the same for two classes, since a rider and a horse overlap
_SHOWN = 4  # detections in a repr


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """N boxes of an image with the names of their classes and their scores.

    Args:
        boxes: Boxes (N, 4) xyxy in pixels of the image. Lists and tensors are converted to float32.
        labels: N names of classes.
        scores: Scores (N,) from 0 to 1. By default 1.

    Raises:
        BackendError: `bad-detections`. The lengths differ, a number is not finite, a score is not in [0, 1], the edges
            of a box are not in order, or a label is invalid.

    Example:
        >>> detections = Detections([[40, 20, 420, 290]], ["cat"], [0.83])
    """

    boxes: NDArray[np.float32]
    labels: tuple[str, ...]
    scores: NDArray[np.float32]

    def __init__(self, boxes: ArrayLike, labels: Sequence[str], scores: ArrayLike | None = None) -> None:
        corners = _to_numbers(boxes, "boxes")
        corners = corners.reshape(-1, 4) if corners.size == 0 else corners
        if corners.ndim != 2 or corners.shape[1] != 4:
            raise _error(f"boxes must be (N, 4), got shape {corners.shape}")
        if isinstance(labels, str):
            raise _error(f"labels must be a list with a name for each box, got {labels!r:.60}")
        names = tuple(_check_label(label) for label in labels)
        confidences = np.ones(len(corners), np.float32) if scores is None else _to_numbers(scores, "scores")
        if not len(corners) == len(names) == confidences.size or confidences.ndim > 1:
            counts = f"{len(corners)} boxes, {len(names)} labels and scores of shape {confidences.shape}"
            raise _error(f"a detector returns a label and a score for each box, got {counts}")
        object.__setattr__(self, "boxes", _check_boxes(corners))
        object.__setattr__(self, "labels", names)
        object.__setattr__(self, "scores", _check_scores(confidences.reshape(-1)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: Any) -> Detections:
        """Return the detections at a slice, several positions, or where an array (N,) of booleans is true."""
        positions = np.atleast_1d(np.arange(len(self))[which])
        labels = [self.labels[position] for position in positions]
        return Detections(self.boxes[positions], labels, self.scores[positions])

    def __repr__(self) -> str:
        shown = [f"{label} {score:.2f}" for label, score in zip(self.labels, self.scores.tolist(), strict=True)]
        more = f", … {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
        return f"Detections({', '.join(shown[:_SHOWN]) or 'none'}{more})"

    def clip(self, size: tuple[int, int]) -> Detections:
        """Cut the boxes off at the edges of an image of `size` (H, W).

        Raises:
            BackendError: `bad-detections`. A box is outside the image, or all boxes are fractions of its size.
        """
        height, width = size
        clipped = self.boxes.clip(0, [width, height, width, height])
        outside = np.flatnonzero((clipped[:, :2] >= clipped[:, 2:]).any(axis=1))
        if len(outside):
            message = f"the box {_write(self.boxes[outside[0]])} lies outside the image of {width} × {height} pixels"
            raise _error(f"{message}; a detector returns x0, y0, x1, y1 in pixels")
        if len(self) and max(size) > 2 and clipped.max() <= 1:
            message = f"the box {_write(self.boxes[0])} is within one pixel of an image of {width} × {height}"
            raise _error(f"{message}; a detector returns pixels, not fractions of the image")
        return Detections(clipped, self.labels, self.scores)

    def remove_duplicates(self) -> Detections:
        """Remove the detections that overlap a better one, and sort by descending score.

        Boxes of one class are duplicates above an IoU of 0.5, boxes of two classes above 0.8.
        """

        def compare(index: int, rest: NDArray[np.int64]) -> NDArray[np.float64]:
            limits = [_SAME_CLASS_IOU if self.labels[other] == self.labels[index] else _OTHER_CLASS_IOU
                      for other in rest]  # fmt: skip
            return np.asarray(box_iou(self.boxes[index : index + 1], self.boxes[rest])[0] / np.array(limits))

        return self[suppress_overlaps(self.scores, 1.0, compare)]


DetectionArrays: TypeAlias = "tuple[ArrayLike, Sequence[str], ArrayLike]"
"""Boxes (N, 4) xyxy in pixels, N labels and N scores, in place of `Detections`."""


class Detector(Protocol):
    """Finds objects in an image: a function, or an object that can be called.

    A detector may have an attribute `min_score`. Detections from that score on are objects. Weaker ones, which it may
    return too, only confirm objects that are tracked already. It may have an attribute `identity`, a text that differs
    for detectors that find different boxes, by which a job recognizes that it can be resumed.
    """

    def __call__(self, image: NDArray[np.uint8], /) -> Detections | DetectionArrays:
        """Return the objects of an image (H, W, 3) uint8 RGB."""
        ...


class TextDetector(Protocol):
    """Makes detectors of named classes."""

    def __call__(self, classes: tuple[str, ...], /) -> Detector:
        """Return a detector of one or more classes."""
        ...


def run_detector(detector: Detector, image: NDArray[np.uint8]) -> Detections:
    """Run a detector, check what it returns, and remove duplicates.

    Args:
        detector: The detector.
        image: Image (H, W, 3) uint8 RGB. The detector gets a copy, which it may change.

    Returns:
        The detections by descending score, cut off at the edges of the image.

    Raises:
        BackendError: `bad-detections`. The detector returned something else than boxes, labels and scores.
            `detector-failed`. It raised an error.
    """
    try:
        returned = detector(image.copy())
    except MaskletError:
        raise
    except Exception as cause:
        message = f"the detector failed: {type(cause).__name__}: {cause}"
        raise BackendError("detector-failed", message) from cause
    return _read(returned).clip((image.shape[0], image.shape[1])).remove_duplicates()


def min_score_of(detector: Detector) -> float:
    """Return the score from which a detection of a detector is an object; 0 if the detector states none."""
    return float(getattr(detector, "min_score", 0.0))


def identify(detector: Detector) -> str:
    """Return the identity of a detector, or else the name of its class or function."""
    named = detector if hasattr(detector, "__qualname__") else type(detector)
    return str(getattr(detector, "identity", None) or f"{named.__module__}.{named.__qualname__}")


def _read(returned: Any) -> Detections:
    if isinstance(returned, Detections):
        return returned
    if not isinstance(returned, tuple | list) or len(returned) != 3:
        raise _error(f"a detector returns boxes, labels and scores, got {type(returned).__name__}")
    return Detections(*returned)


def _to_numbers(values: Any, what: str) -> NDArray[np.float32]:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError, OverflowError, RuntimeError) as cause:
        raise _error(f"{what} must be an array of numbers, got {type(values).__name__} ({cause!s:.80})") from cause


def _check_boxes(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    wrong = ~np.isfinite(boxes).all(axis=1)
    if wrong.any():
        raise _error(f"the box {_write(boxes[wrong.argmax()])} is not of finite numbers")
    wrong = (boxes[:, :2] >= boxes[:, 2:]).any(axis=1)
    if wrong.any():
        message = f"a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1, got {_write(boxes[wrong.argmax()])}"
        raise _error(f"{message}; did the detector return x, y, width, height?")
    return boxes


def _check_scores(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    wrong = ~((scores >= 0) & (scores <= 1))  # true for NaN
    if wrong.any():
        raise _error(f"a score must be from 0 to 1, got {scores[wrong.argmax()]:g}")
    return scores


def _check_label(label: Any) -> str:
    try:
        return check_label(label)
    except PromptError as error:
        raise _error(error.message) from error


def _write(box: NDArray[np.float32]) -> str:
    return f"({', '.join(f'{edge:g}' for edge in box.tolist())})"


def _error(message: str) -> BackendError:
    return BackendError("bad-detections", message)

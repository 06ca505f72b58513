"""Masks of detections: each box is the prompt of an object, and its class is the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.detectors.detections import Detections, Detector, min_score_of, run_detector
from masklet.detectors.matching import KnownMask, select_distinct
from masklet.masks.masks import Masks
from masklet.masks.object_detection import ObjectDetection
from masklet.predict.embedded_image import EmbeddedImage
from masklet.predict.mask_checks import check_masks
from masklet.prompts import Prompt, box

MIN_UNCOVERED = 0.5
"""Smallest share of a mask that no other object of its class covers."""


class DetectedObjects(NamedTuple):
    """N objects of an image.

    Attributes:
        masks: Their masks. The labels are the classes, and the scores the predicted IoUs.
        detections: Their boxes, with the scores of the detector.
    """

    masks: Masks
    detections: Detections

    def list_detections(self) -> tuple[ObjectDetection, ...]:
        """Return the detection of each object."""
        return list_detections(self.detections, self.masks.object_ids)


def detect_objects(
    image: EmbeddedImage, pixels: NDArray[np.uint8], detector: Detector, min_score: float | None = None
) -> DetectedObjects:
    """Find the objects of an image with a detector, and predict a mask of each.

    Args:
        image: The image, which issues no warnings itself.
        pixels: The same image (H, W, 3) uint8 RGB.
        detector: The detector.
        min_score: Score of the detector from which a detection is an object. By default that of the detector.

    Raises:
        BackendError: See `run_detector`.
    """
    found = run_detector(detector, pixels)
    least = min_score_of(detector) if min_score is None else min_score
    return segment_detections(image, found[found.scores >= np.float32(least)])


def segment_detections(
    image: EmbeddedImage,
    detections: Detections,
    known: Sequence[KnownMask] = (),
    *,
    first_id: int = 1,
    min_uncovered: float = MIN_UNCOVERED,
) -> DetectedObjects:
    """Predict a mask in each box, and leave out those that are no objects of their own.

    Args:
        image: The image, which issues no warnings itself.
        detections: The detections, the most important first.
        known: Masks of objects that are known.
        first_id: Object id of the first object; the others follow it.
        min_uncovered: See `select_distinct`.
    """
    if not len(detections):
        return DetectedObjects(Masks.empty(image.size), detections)
    masks = image.predict(list_prompts(detections))
    positions = select_distinct(masks, known, min_uncovered)
    object_ids = range(first_id, first_id + len(positions))
    selected, distinct = detections[positions], replace(masks[positions], object_ids=tuple(object_ids), warnings=())
    prompts = dict(zip(object_ids, list_prompts(selected), strict=True))
    return DetectedObjects(replace(distinct, warnings=check_masks(distinct, prompts)), selected)


def list_prompts(detections: Detections) -> list[Prompt]:
    """Return the box of each detection as a prompt with its class as the label."""
    corners = detections.boxes.tolist()
    return [box(*edges, label=label) for edges, label in zip(corners, detections.labels, strict=True)]


def list_detections(detections: Detections, object_ids: tuple[int, ...]) -> tuple[ObjectDetection, ...]:
    """Return the detections as those of N objects."""
    rows = zip(object_ids, detections.labels, detections.scores.tolist(), detections.boxes.tolist(), strict=True)
    return tuple(ObjectDetection(key, label, score, tuple(edges)) for key, label, score, edges in rows)

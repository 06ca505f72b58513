"""What one gets without any network: numbers below which a model is worth nothing."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.evaluate.click_simulator import next_click

Mask = NDArray[np.bool_]

DISC_RADIUS = 0.1  # of the root of the picture's area: a disc of 3 % of the picture
GRABCUT_ROUNDS = 5
GRABCUT_SIDE = 640  # larger pictures are shrunk for GrabCut, whose time grows faster than their area


def disc_at_click(image: NDArray[np.uint8], truth: Mask) -> Mask:
    """A disc of fixed size around the first click."""
    click = next_click(truth)
    assert click is not None, "an object that is not empty has a middle"
    x, y = click.points[0].astype(int).tolist()
    canvas = np.zeros(truth.shape, np.uint8)
    cv2.circle(canvas, (x, y), round(DISC_RADIUS * math.sqrt(truth.size)), 1, cv2.FILLED)
    return canvas.view(bool)


def filled_box(image: NDArray[np.uint8], truth: Mask) -> Mask:
    """Everything in the object's box."""
    left, top, width, height = _box(truth)
    canvas = np.zeros(truth.shape, bool)
    canvas[top : top + height, left : left + width] = True
    return canvas


def ellipse_in_box(image: NDArray[np.uint8], truth: Mask) -> Mask:
    """The largest ellipse in the object's box."""
    left, top, width, height = _box(truth)
    rows = (np.arange(height) + 0.5) * 2 / height - 1
    columns = (np.arange(width) + 0.5) * 2 / width - 1
    canvas = np.zeros(truth.shape, bool)
    canvas[top : top + height, left : left + width] = rows[:, None] ** 2 + columns**2 <= 1
    return canvas


def grabcut_in_box(image: NDArray[np.uint8], truth: Mask) -> Mask:
    """GrabCut (Rother et al. 2004) with the object's box: colours alone, iterated graph cuts.

    Deterministic. Where nothing lies outside the box or GrabCut keeps nothing, everything in the box.
    """
    scale = min(1.0, GRABCUT_SIDE / max(truth.shape))
    height, width = (max(1, round(side * scale)) for side in truth.shape)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(filled_box(image, truth).view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    if inside.all() or not inside.any():
        return filled_box(image, truth)
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)
    ground, thing = np.zeros((1, 65)), np.zeros((1, 65))  # the colours that GrabCut learns
    cv2.grabCut(small, labels, (0, 0, 1, 1), ground, thing, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    kept = (labels == cv2.GC_PR_FGD).astype(np.uint8)
    if not kept.any():
        return filled_box(image, truth)
    full = cv2.resize(kept, truth.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(full > 0)


BASELINES = {
    "disc at the click": disc_at_click,
    "box filled": filled_box,
    "ellipse in the box": ellipse_in_box,
    "GrabCut in the box": grabcut_in_box,
}
"""By the name of their column. They see the picture, and of the truth only the click or the box."""


def _box(truth: Mask) -> tuple[int, int, int, int]:
    """Left, top, width, height."""
    left, top, width, height = cv2.boundingRect(truth.view(np.uint8))
    return left, top, width, height

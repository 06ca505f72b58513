"""Baselines for images: masks made from a click or a box without a network."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.evaluate.click_simulator import simulate_click

Mask = NDArray[np.bool_]

DISC_RADIUS_FRACTION = 0.1  # of the square root of the image's area; the disc covers 3 % of the image
GRABCUT_ITERATIONS = 5
GRABCUT_MAX_SIDE_PX = 640  # larger images are reduced, since the time of GrabCut grows faster than their area


def draw_disc_at_click(image: NDArray[np.uint8], ground_truth: Mask) -> Mask:
    """Draw a disc of fixed size around the first simulated click."""
    click = simulate_click(ground_truth)
    assert click is not None, "a mask that is not empty gets a click"
    x, y = click.points[0].astype(int).tolist()
    canvas = np.zeros(ground_truth.shape, np.uint8)
    cv2.circle(canvas, (x, y), round(DISC_RADIUS_FRACTION * math.sqrt(ground_truth.size)), 1, cv2.FILLED)
    return canvas.view(bool)


def fill_box(image: NDArray[np.uint8], ground_truth: Mask) -> Mask:
    """Fill the bounding box of the ground truth."""
    left, top, width, height = _find_box(ground_truth)
    canvas = np.zeros(ground_truth.shape, bool)
    canvas[top : top + height, left : left + width] = True
    return canvas


def draw_ellipse_in_box(image: NDArray[np.uint8], ground_truth: Mask) -> Mask:
    """Draw the largest ellipse in the bounding box of the ground truth."""
    left, top, width, height = _find_box(ground_truth)
    rows = (np.arange(height) + 0.5) * 2 / height - 1
    columns = (np.arange(width) + 0.5) * 2 / width - 1
    canvas = np.zeros(ground_truth.shape, bool)
    canvas[top : top + height, left : left + width] = rows[:, None] ** 2 + columns**2 <= 1
    return canvas


def run_grabcut_in_box(image: NDArray[np.uint8], ground_truth: Mask) -> Mask:
    """Segment the bounding box of the ground truth with GrabCut (Rother et al., 2004), deterministically.

    Returns the filled box if the box covers the whole image or GrabCut finds no foreground.
    """
    scale = min(1.0, GRABCUT_MAX_SIDE_PX / max(ground_truth.shape))
    height, width = (max(1, round(side * scale)) for side in ground_truth.shape)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(
        fill_box(image, ground_truth).view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    if inside.all() or not inside.any():
        return fill_box(image, ground_truth)
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))  # color models that GrabCut fits
    cv2.grabCut(small, labels, (0, 0, 1, 1), background, foreground, GRABCUT_ITERATIONS, cv2.GC_INIT_WITH_MASK)
    segmented = (labels == cv2.GC_PR_FGD).astype(np.uint8)
    if not segmented.any():
        return fill_box(image, ground_truth)
    full = cv2.resize(segmented, ground_truth.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(full > 0)


IMAGE_BASELINES = {
    "disc at the click": draw_disc_at_click,
    "box filled": fill_box,
    "ellipse in the box": draw_ellipse_in_box,
    "GrabCut in the box": run_grabcut_in_box,
}
"""Baselines by the name of their row in the report. They use the image and a click or box of the ground truth."""


def _find_box(ground_truth: Mask) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the bounding box."""
    left, top, width, height = cv2.boundingRect(ground_truth.view(np.uint8))
    return left, top, width, height

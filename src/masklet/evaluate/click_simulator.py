"""Where would a careful user click next? The deterministic clicker of the SAM papers, and boxes of true masks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import PromptError
from masklet.prompts import Prompt, box, click

Mask = NDArray[np.bool_]


def simulate_click(ground_truth: Mask, prediction: Mask | None = None) -> Prompt | None:
    """A click in the middle of the largest error of `answer` (H, W), or of the object if there is no answer yet.

    The middle is the pixel farthest from the rim of what is missing (a positive click) or of what is too much (a
    negative one), whichever lies deeper; of equals a negative click, and the first pixel in reading order. The rim of
    the picture is a rim too. None where nothing is wrong. Raises `PromptError` (`mask-shape`) if the sizes differ.
    """
    if prediction is None:
        prediction = np.zeros_like(ground_truth)
    if ground_truth.ndim != 2 or ground_truth.shape != prediction.shape:
        raise PromptError(
            "mask-shape", f"masks must be of one size (H, W), got {ground_truth.shape} and {prediction.shape}"
        )
    missing, deepest_missing = _find_deepest_pixel(ground_truth & ~prediction)
    surplus, deepest_surplus = _find_deepest_pixel(prediction & ~ground_truth)
    if not deepest_missing and not deepest_surplus:
        return None
    positive = deepest_missing > deepest_surplus
    return click(*(missing if positive else surplus), positive=positive)


def simulate_box(ground_truth: Mask) -> Prompt:
    """The box from the first to the last column and row of a mask, at pixel centres: what the papers prompt with.

    A mask that is one pixel wide or high gets a box of one pixel. Raises `PromptError` for an empty mask.
    """
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(ground_truth).view(np.uint8))
    if not width:
        raise PromptError("bad-prompt", "an empty mask has no box; leave out objects that are not in the picture")
    return box(left, top, left + max(width - 1, 1), top + max(height - 1, 1))


def _find_deepest_pixel(region: Mask) -> tuple[tuple[int, int], float]:
    """The pixel (x, y) of a region farthest from its rim, the first of equals, and how far that is; 0 if empty.

    Exact distances, within the region's box alone: the frame of zeros around it is as near as anything beyond.
    """
    pixels = np.ascontiguousarray(region).view(np.uint8)
    left, top, width, height = cv2.boundingRect(pixels)
    if not width:
        return (0, 0), 0.0
    framed = np.pad(pixels[top : top + height, left : left + width], 1)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    row, column = divmod(int(depth.argmax()), width)
    return (left + column, top + row), float(depth[row, column])

"""Click simulator of the SAM papers, deterministic; random clicks and box prompts from ground-truth masks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import PromptError
from masklet.prompts import Prompt, box, click

Mask = NDArray[np.bool_]


def simulate_click(ground_truth: Mask, prediction: Mask | None = None) -> Prompt | None:
    """Simulate the next click of a user: at the pixel deepest inside the error regions of a prediction.

    The click is positive where the prediction misses the object and negative where it exceeds it, whichever region is
    deeper. Depth is the exact Euclidean distance to the nearest pixel outside the region; pixels outside the image
    are outside too. A tie between the regions gives a negative click; of equally deep pixels the first in reading
    order is chosen.

    Args:
        ground_truth: The mask of the object, (H, W) bool.
        prediction: The predicted mask, (H, W) bool. None: the click is placed inside the object.

    Returns:
        The click at (x, y) in pixels, or None if prediction and ground truth are equal.

    Raises:
        PromptError: The masks differ in size (`mask-shape`).
    """
    if prediction is None:
        prediction = np.zeros_like(ground_truth)
    if ground_truth.ndim != 2 or ground_truth.shape != prediction.shape:
        raise PromptError(
            "mask-shape", f"masks must have the same size (H, W), got {ground_truth.shape} and {prediction.shape}"
        )
    missing, deepest_missing = _find_deepest_pixel(ground_truth & ~prediction)
    surplus, deepest_surplus = _find_deepest_pixel(prediction & ~ground_truth)
    if not deepest_missing and not deepest_surplus:
        return None
    positive = deepest_missing > deepest_surplus
    return click(*(missing if positive else surplus), positive=positive)


def sample_clicks(ground_truth: Mask, count: int, random: np.random.Generator) -> list[Prompt]:
    """Sample positive clicks at random pixels of an object, uniformly and with replacement.

    Args:
        ground_truth: The mask of the object, (H, W) bool.
        count: The number of clicks.
        random: The source of random numbers.

    Returns:
        The clicks, each a prompt of its own at (x, y) in pixels.

    Raises:
        PromptError: The mask is empty.
    """
    pixels = np.flatnonzero(ground_truth)
    if not len(pixels):
        raise PromptError("bad-prompt", "an empty mask has no pixel to click; leave out objects that are not visible")
    rows, columns = np.divmod(pixels[random.integers(len(pixels), size=count)], ground_truth.shape[1])
    return [click(x, y) for x, y in zip(columns.tolist(), rows.tolist(), strict=True)]


def simulate_box(ground_truth: Mask) -> Prompt:
    """Build the tight box prompt of the SAM papers, from the first to the last row and column of a mask.

    Args:
        ground_truth: The mask of the object, (H, W) bool.

    Returns:
        A box through the centers of the outermost pixels. It is at least one pixel wide and high.

    Raises:
        PromptError: The mask is empty.
    """
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(ground_truth).view(np.uint8))
    if not width:
        raise PromptError("bad-prompt", "an empty mask has no box; leave out objects that are not in the image")
    return box(left, top, left + max(width - 1, 1), top + max(height - 1, 1))


def _find_deepest_pixel(region: Mask) -> tuple[tuple[int, int], float]:
    """Return the deepest pixel (x, y) of a region and its depth in pixels, which is 0 for an empty region.

    Distances are computed within the bounding box of the region, framed by one pixel of background, which is never
    farther away than the background beyond it.
    """
    pixels = np.ascontiguousarray(region).view(np.uint8)
    left, top, width, height = cv2.boundingRect(pixels)
    if not width:
        return (0, 0), 0.0
    framed = np.pad(pixels[top : top + height, left : left + width], 1)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    row, column = divmod(int(depth.argmax()), width)
    return (left + column, top + row), float(depth[row, column])

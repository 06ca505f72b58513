"""Error images: an object with its correct, missed and extra pixels in color, and the prompt."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.prompts import POSITIVE, TOP_LEFT, Prompt

Mask = NDArray[np.bool_]
Image = NDArray[np.uint8]

CORRECT_COLOR, MISSED_COLOR, EXTRA_COLOR = (40, 120, 255), (255, 140, 0), (220, 0, 200)  # blue, orange and magenta, RGB
LEGEND = "Blue: correct. Orange: missed. Magenta: extra."
CLICKS_LEGEND = "White dots: positive clicks. Black dots: negative clicks."
IMAGE_SIDE_PX = 440  # longer side of the drawn image
CONTEXT_FRACTION = 1.0  # context around the masks as a fraction of their extent, half of it on each side
_OVERLAY_OPACITY = 0.55


def draw_comparison(image: Image, ground_truth: Mask, prediction: Mask, prompt: Prompt | None = None) -> bytes:
    """Draw prediction and ground truth of one object over the image, cropped to both with some context.

    Args:
        image: RGB, (H, W, 3) uint8.
        ground_truth: The mask of the object, (H, W) bool.
        prediction: The predicted mask, (H, W) bool.
        prompt: Clicks and box to draw, in pixels of the image.

    Returns:
        A JPEG file. `LEGEND` explains the colors.
    """
    canvas = image.astype(np.float32)
    for region, color in (
        (ground_truth & prediction, CORRECT_COLOR),
        (ground_truth & ~prediction, MISSED_COLOR),
        (prediction & ~ground_truth, EXTRA_COLOR),
    ):
        canvas[region] += (np.array(color, np.float32) - canvas[region]) * _OVERLAY_OPACITY
    left, top, right, bottom = _crop_around(ground_truth | prediction)
    scale = IMAGE_SIDE_PX / max(right - left, bottom - top)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    drawn = np.asarray(
        cv2.resize(canvas[top:bottom, left:right].astype(np.uint8), size, interpolation=method), np.uint8
    )
    if prompt is not None:
        _draw_prompt(drawn, prompt, (left, top), scale)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return encoded.tobytes()


def _crop_around(region: Mask) -> tuple[int, int, int, int]:
    """Return the crop (left, top, right, bottom) of a region with context; the full image if the region is empty."""
    height, width = region.shape
    left, top, across, down = cv2.boundingRect(np.ascontiguousarray(region).view(np.uint8))
    if not across:
        return 0, 0, width, height
    margin = max(16, round(CONTEXT_FRACTION * max(across, down) / 2))
    return (
        max(0, left - margin),
        max(0, top - margin),
        min(width, left + across + margin),
        min(height, top + down + margin),
    )


def _draw_prompt(canvas: Image, prompt: Prompt, corner: tuple[int, int], scale: float) -> None:
    """Draw clicks as dots and a box as a rectangle, each with an outline."""
    positions = np.rint((prompt.points - np.array(corner) + 0.5) * scale).astype(int)
    corners = positions[prompt.labels >= TOP_LEFT].tolist()
    if corners:
        for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            cv2.rectangle(canvas, corners[0], corners[1], color, thickness)
    for position, label in zip(positions.tolist(), prompt.labels.tolist(), strict=True):
        if label <= POSITIVE:
            inner, rim = ((255,) * 3, (0,) * 3) if label == POSITIVE else ((0,) * 3, (255,) * 3)
            cv2.circle(canvas, position, 7, rim, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(canvas, position, 5, inner, cv2.FILLED, cv2.LINE_AA)

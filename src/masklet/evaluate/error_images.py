"""Pictures of what went wrong: what was found, what was missed, what was too much, and the clicks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.prompts import POSITIVE, TOP_LEFT, Prompt

Mask = NDArray[np.bool_]
Image = NDArray[np.uint8]

CORRECT_COLOR, MISSED_COLOR, EXTRA_COLOR = (40, 120, 255), (255, 140, 0), (220, 0, 200)  # blue, orange and magenta, RGB
LEGEND = "Blue is right, orange was missed, magenta is too much."
CLICKS_LEGEND = "White dots are clicks on the object, black ones off it."
IMAGE_SIDE_PX = 440  # pixels of the drawn picture's longer side
CONTEXT_FRACTION = 1.0  # the view shows this much of the objects' extent on every side
_OVERLAY_OPACITY = 0.55


def draw_comparison(image: Image, ground_truth: Mask, prediction: Mask, prompt: Prompt | None = None) -> bytes:
    """A JPEG of the surroundings of an object with its true mask (H, W) and the answer laid over it; see `LEGEND`."""
    canvas = image.astype(np.float32)
    for region, colour in (
        (ground_truth & prediction, CORRECT_COLOR),
        (ground_truth & ~prediction, MISSED_COLOR),
        (prediction & ~ground_truth, EXTRA_COLOR),
    ):
        canvas[region] += (np.array(colour, np.float32) - canvas[region]) * _OVERLAY_OPACITY
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
    """The window xyxy that shows a region with its surroundings; the whole picture if there is none."""
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
    """Clicks as dots with a rim, a box as a line with a rim."""
    places = np.rint((prompt.points - np.array(corner) + 0.5) * scale).astype(int)
    corners = places[prompt.labels >= TOP_LEFT].tolist()
    if corners:
        for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            cv2.rectangle(canvas, corners[0], corners[1], colour, thickness)
    for place, label in zip(places.tolist(), prompt.labels.tolist(), strict=True):
        if label <= POSITIVE:
            inner, rim = ((255,) * 3, (0,) * 3) if label == POSITIVE else ((0,) * 3, (255,) * 3)
            cv2.circle(canvas, place, 7, rim, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(canvas, place, 5, inner, cv2.FILLED, cv2.LINE_AA)

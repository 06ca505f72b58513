"""Checks of predicted masks: reasons why a mask may be wrong, and what to do about it.

`docs/images.md`, "Warnings", has the measurements behind the thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from masklet.errors import MaskWarning
from masklet.masks.masks import Masks
from masklet.prompts import TOP_LEFT, Prompt

MIN_SCORE = 0.5  # predicted IoU
MIN_AREA_SHARE = 1e-4  # of the image, for the mask of a prompt
MIN_AREA_PX = (10, 100)  # bounds of that area, for small and for huge images
MIN_BOX_SHARE = 0.05  # of the box, for the mask of a box
MAX_AREA_SHARE = 0.5  # of the image


class MaskFacts(NamedTuple):
    """Object id, predicted IoU and area in pixels of a mask."""

    object_id: int
    score: float
    area: int


def check_masks(masks: Masks, prompts: Mapping[int, Prompt], frame: int | None = None) -> tuple[MaskWarning, ...]:
    """Check the masks of prompted objects. Of several candidates, the one with the highest score is checked.

    Args:
        masks: Masks of an image or a frame.
        prompts: The prompts by object id. Other objects are not checked.
        frame: Number of the frame.
    """
    found: dict[int, MaskFacts] = {}
    for facts in list_facts(masks):
        if facts.object_id not in found or facts.score > found[facts.object_id].score:
            found[facts.object_id] = facts
    return tuple(
        warning
        for key, prompt in prompts.items()
        if key in found
        for warning in check_mask(found[key], masks.size, prompt, frame)
    )


def check_found(masks: Masks) -> tuple[MaskWarning, ...]:
    """Check masks of objects that were found in an image without prompts on it."""
    return tuple(warning for facts in list_facts(masks) for warning in check_mask(facts, masks.size, None))


def list_facts(masks: Masks) -> Iterator[MaskFacts]:
    """List the facts of masks. Areas are estimates from the low-resolution logits."""
    return map(MaskFacts, masks.object_ids, masks.scores.tolist(), masks.estimate_areas().tolist())


def check_mask(
    facts: MaskFacts, size: tuple[int, int], prompt: Prompt | None, frame: int | None = None
) -> Iterator[MaskWarning]:
    """Yield the reasons why a mask may be wrong.

    Args:
        facts: The mask.
        size: (H, W) of the image.
        prompt: The prompt of the object on this image; None for a mask that was tracked or found.
        frame: Number of the frame.
    """
    if prompt is not None and not prompt.point_count and (frame is not None or not _has_mask(prompt)):
        return  # a video takes a mask as it is, and `absent()` has no area
    name = name_object(facts.object_id, frame)
    pixels = size[0] * size[1]
    box_area = 0.0 if prompt is None else _measure_box(prompt)
    least = max(min(max(MIN_AREA_SHARE * pixels, MIN_AREA_PX[0]), MIN_AREA_PX[1]), MIN_BOX_SHARE * box_area)
    if prompt is not None and facts.area < least:
        extent = f"about {facts.area:,} of {pixels:,} pixels" if facts.area else "no pixel"
        advice = "click on the middle of the object, or give a box around it"
        yield _warn("tiny-mask", f"{name}: the prompt finds almost nothing, {extent}; {advice}", facts, frame)
    elif facts.area and facts.score < MIN_SCORE:
        advice = "add clicks, or give a box around it" if frame is None else "correct it with a click or a box there"
        message = f"{name} has a score of {max(facts.score, 0):.2f}, so its mask is probably wrong; {advice}"
        yield _warn("low-score", message, facts, frame)
    if facts.area > MAX_AREA_SHARE * pixels and box_area < MAX_AREA_SHARE * pixels:
        advice = "if that is too much, exclude the rest with negative clicks, or give a box"
        message = f"{name} covers {100 * facts.area / pixels:.0f} % of the image; {advice}"
        yield _warn("mask-covers-image", message, facts, frame)


def name_object(object_id: int, frame: int | None) -> str:
    """Return how warnings name an object."""
    return f"object {object_id}" if frame is None else f"object {object_id} on frame {frame}"


def _warn(code: str, message: str, facts: MaskFacts, frame: int | None) -> MaskWarning:
    return MaskWarning(code, message, facts.object_id, frame)


def _has_mask(prompt: Prompt) -> bool:
    return prompt.mask is not None and bool(prompt.mask.any())


def _measure_box(prompt: Prompt) -> float:
    """Return the area of the box of a prompt in pixels, 0 without one."""
    corners = prompt.points[prompt.labels >= TOP_LEFT]
    return float(np.prod(corners[1] - corners[0])) if len(corners) else 0.0

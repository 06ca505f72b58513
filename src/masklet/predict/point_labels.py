"""Prompts from points with SAM's labels: 0 and 1 for clicks, 2 and 3 for the corners of a box."""

from __future__ import annotations

from typing import Any

import numpy as np

from masklet.errors import PromptError
from masklet.prompts import BOTTOM_RIGHT, NEGATIVE, POSITIVE, TOP_LEFT, Prompt, box, clicks

_IGNORED = -1  # pads lists of points to one length


def make_prompt(points: Any, labels: Any) -> Prompt:
    """Make the prompt of one object from points with labels.

    Args:
        points: Points (P, 2) xy in pixels of the image.
        labels: Labels (P,): 0 negative, 1 positive, 2 and 3 two opposite corners of a box in any order, −1 for a point
            that is left out.

    Raises:
        PromptError: `bad-prompt`. There are no points, not as many labels, or an unknown label; or a box does not have
            one corner of each label.
    """
    try:
        xy, kinds = np.asarray(points, np.float64), np.asarray(labels, np.float64)
    except (TypeError, ValueError, OverflowError) as cause:
        raise PromptError("bad-prompt", "points must be a list of [x, y] and labels a list of numbers") from cause
    if xy.ndim != 2 or xy.shape[1] != 2 or kinds.shape != xy.shape[:1]:
        message = f"points must be (P, 2) with as many labels, got {xy.shape} and {kinds.shape}"
        raise PromptError("bad-prompt", message)
    is_corner = kinds >= TOP_LEFT
    is_click = ~is_corner & (kinds != _IGNORED)
    corners, found = xy[is_corner], sorted(kinds[is_corner].tolist())
    if not np.isin(kinds, (_IGNORED, NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT)).all():
        raise PromptError("bad-prompt", f"labels must be 0, 1, 2, 3, or -1 to leave a point out, got {kinds.tolist()}")
    if found not in ([], [TOP_LEFT, BOTTOM_RIGHT]):
        raise PromptError("bad-prompt", f"a box needs one point with label 2 and one with label 3, got {found}")
    parts = [box(*corners.min(axis=0), *corners.max(axis=0))] if len(corners) else []
    if is_click.any() or not parts:
        parts.append(clicks(xy[is_click], kinds[is_click]))
    return parts[0] + parts[1] if len(parts) > 1 else parts[0]

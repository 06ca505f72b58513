"""Prompts of the API as prompts of masklet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, PromptError
from masklet.images import read_image
from masklet.masks import rle
from masklet.prompts import Prompt, absent, box, clicks, mask
from masklet.serve.api.models import ObjectPrompt, Rle
from masklet.serve.image_store import decode_base64

_MIDDLE = 128  # gray values from which on a pixel of an image file belongs to the mask


def make_prompts(objects: Sequence[ObjectPrompt], max_pixels: int) -> dict[int, Prompt]:
    """Return the prompts by object id.

    Args:
        objects: The prompts of a request.
        max_pixels: Most pixels of a mask.

    Raises:
        PromptError: `bad-prompt`. A prompt is empty or invalid, or an id occurs twice.
        FormatError: `bad-rle`. ImageError: A mask is not an image.
    """
    prompts: dict[int, Prompt] = {}
    for position, one in enumerate(objects, start=1):
        key = position if one.id is None else one.id
        if key in prompts:
            raise PromptError("bad-prompt", f"object {key} is prompted twice; combine its points, box and mask")
        prompts[key] = _make_prompt(key, one, max_pixels)
    return prompts


def _make_prompt(key: int, one: ObjectPrompt, max_pixels: int) -> Prompt:
    parts: list[Prompt] = []
    if one.box is not None:
        parts.append(box(*one.box, label=one.label))
    if one.points:
        parts.append(clicks(one.points, one.labels, label=one.label))
    if one.mask is not None:
        parts.append(mask(_decode_mask(one.mask, max_pixels), label=one.label))
    if one.absent:
        parts.append(absent(label=one.label))
    if not parts or (one.absent and len(parts) > 1):
        message = f"object {key} needs points, a box or a mask, or absent alone"
        raise PromptError("bad-prompt", message)
    combined = parts[0]
    for part in parts[1:]:
        combined = combined + part
    return combined


def _decode_mask(value: Rle | str, max_pixels: int) -> NDArray[np.bool_]:
    if isinstance(value, str):
        return np.asarray(read_image(decode_base64(value), max_pixels=max_pixels)[..., 0] >= _MIDDLE)
    height, width = value.size
    if height * width > max_pixels:
        raise FormatError("bad-rle", f"a mask of {height} × {width} has more than {max_pixels} pixels")
    return rle.decode({"size": [height, width], "counts": value.counts})

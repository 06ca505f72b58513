"""Crops of a tracked object: the crop for a prompt and the crop for the search on the next frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from masklet.backend import Backend
from masklet.errors import SettingsError
from masklet.masks.postprocessing import PostProcessing
from masklet.predict.crop import (
    Crop,
    change_crop,
    check_zoom,
    crop_around,
    full_crop,
    include_points,
    positive_points,
    prompt_box,
    widen_crop,
)
from masklet.prompts import Prompt
from masklet.tracking.object_track import ObjectResult

Value = TypeVar("Value")


def crop_for_prompt(
    backend: Backend, prompt: Prompt, result: ObjectResult | None, size: tuple[int, int], zoom: float
) -> Crop | None:
    """Place the crop in which an object is prompted.

    Args:
        backend: Backend of the result.
        prompt: The object's prompt, in pixels of the frame.
        result: The object's result on the frame, if it has one. Its mask places the crop where the prompt has no box.
        size: The frame's (H, W).
        zoom: Side of the crop divided by the size of the object; 0 disables cropping.

    Returns:
        The crop. None is the full frame: without a zoom or a box, or if the crop would cover most of the frame or
        contain nothing of the prompt.
    """
    box = prompt_box(prompt, size) if zoom else None
    if zoom and box is None and prompt.point_count and result is not None:
        box = _find_box(backend, result, size, positive_points(prompt) if result.crop is None else None)
    crop = None if box is None else crop_around(include_points(box, prompt), size, zoom)
    return crop if crop and crop.to_crop(prompt, size) else None


def crop_for_search(backend: Backend, result: ObjectResult, size: tuple[int, int], zoom: float) -> Crop | None:
    """Place the crop in which an object is searched for; None is the full frame of `size` (H, W).

    It is around the object's mask on the nearest frame, or wider than its crop there if the mask is empty.
    """
    box = _find_box(backend, result, size)
    return widen_crop(result.crop, size) if box is None else crop_around(box, size, zoom, result.crop)


def prompt_in_crop(prompt: Prompt, crop: Crop | None, size: tuple[int, int]) -> Prompt:
    """Map a prompt on a frame of `size` (H, W) to the crop that was placed for it; None is the full frame."""
    if crop is None:
        return prompt
    mapped = crop.to_crop(prompt, size)
    assert mapped is not None, "a crop that is placed for a prompt contains some of it"
    return mapped


def logits_in_crop(backend: Backend, result: ObjectResult, crop: Crop | None, size: tuple[int, int]) -> Any:
    """Return the logits of a result as they cover another crop of the frame; None is the full frame."""
    if result.crop == crop:
        return result.decoded.logits
    return change_crop(backend.fetch([result.decoded]).logits[0], result.crop, crop, size)


def group_by_crop(
    objects: Mapping[int, Value], crop_of: Callable[[int], Crop | None]
) -> Iterator[tuple[Crop | None, dict[int, Value]]]:
    """Yield each crop with its objects, which are predicted in one call."""
    crops = {key: crop_of(key) for key in objects}
    for crop in dict.fromkeys(crops.values()):
        yield crop, {key: value for key, value in objects.items() if crops[key] == crop}


def check_zoom_options(zoom: float, postprocessing: PostProcessing) -> float:
    """Return a zoom after checking it, alone and together with post-processing; 0 disables cropping.

    Raises:
        SettingsError: The zoom is out of range, or is combined with non-overlapping memories.
    """
    if zoom and postprocessing.non_overlapping and postprocessing.in_memory:
        message = (
            "a zoom cannot be combined with non-overlapping memories; leave out zoom, non_overlapping or in_memory"
        )
        raise SettingsError("bad-usage", message)
    return check_zoom(zoom)


def _find_box(backend: Backend, result: ObjectResult, size: tuple[int, int], points: Any = None) -> Any:
    """Find the box of a result's mask, or of its components at some points; None if the mask is empty."""
    crop = result.crop or full_crop(size)
    return crop.find_box(backend.fetch([result.decoded]).logits[0], points)

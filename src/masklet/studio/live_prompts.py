"""Prompts on a live video: each applies to the frame that the user saw, which is not the latest one."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.errors import PromptError
from masklet.masks.masks import Masks
from masklet.prompts import Prompt
from masklet.tracking.tracker import Tracker

MAX_IMAGES = 64
_MAX_BYTES = 128 << 20

Image = NDArray[np.uint8]


class LivePrompt(NamedTuple):
    """A prompt of an object on a frame that was shown. It replaces the object's earlier prompt on the frame."""

    frame: int
    object_id: int
    prompt: Prompt


class Removal(NamedTuple):
    """A request to remove an object."""

    object_id: int


class ShownImages:
    """Latest images of a live video by frame number, up to 64 images and 128 MiB.

    Args:
        max_bytes: Budget. The latest image and those that are held do not count.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._images: dict[int, Image] = {}
        self._max_bytes = max_bytes

    def add(self, number: int, image: Image, held: Collection[int] = ()) -> None:
        """Add the image of a frame, and drop the oldest ones beyond the budget that are not in `held`."""
        droppable = [other for other in self._images if other not in held]
        size = image.nbytes + sum(self._images[other].nbytes for other in droppable)
        for other in droppable:
            if size <= self._max_bytes and len(self._images) < MAX_IMAGES:
                break
            size -= self._images.pop(other).nbytes
        self._images[number] = image

    def get(self, number: int) -> Image:
        """Return the image of a frame. Raises `PromptError` (`unknown-frame`) if it was dropped or never shown."""
        if number not in self._images:
            raise PromptError("unknown-frame", f"frame {number} is too old; click on a later one, or pause first")
        return self._images[number]


def apply_prompt(tracker: Tracker, given: LivePrompt, image: Image) -> Masks:
    """Prompt an object on an earlier frame. Its masks on later frames are dropped, since they came from the old mask.

    The next frame that is tracked therefore recalls the prompted frame and the frames before it.

    Returns:
        The masks of all objects on the prompted frame.

    Raises:
        PromptError: A point lies outside the frame, or the prompt has negative points only and the object's mask on the
            frame was dropped.
    """
    frame, object_id, prompt = given
    track = tracker.tracks.get(object_id)
    if (track is None or frame not in track.results) and not prompt.marks_object:
        raise PromptError("bad-prompt", f"object {object_id} needs a positive click or a box on frame {frame}")
    masks = tracker.prompt(frame, {object_id: prompt}, image)
    track = tracker.tracks[object_id]
    for later in [other for other in track.frames if other > frame and other not in track.prompts]:
        track.drop(later)
    return masks

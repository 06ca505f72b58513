"""VOS protocol: prompt each object once and track it through its clip (semi-supervised), with any model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedClip
from masklet.errors import SettingsError, VideoError
from masklet.evaluate.click_simulator import simulate_box, simulate_click
from masklet.files.error_translation import translate_errors
from masklet.masks.masks import Masks
from masklet.prompts import Prompt, mask
from masklet.segmenter import Segmenter
from masklet.tracking.propagate import need_nothing, propagate
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import visit_in_order

if TYPE_CHECKING:
    from masklet.video import Frame

Mask = NDArray[np.bool_]
Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FirstPrompt:
    """Kind of prompt on the first frame of an object: its `mask`, its `box`, or a number of `clicks`."""

    name: str
    clicks: int = 0

    @staticmethod
    def parse(text: str) -> FirstPrompt:
        """Parse `mask`, `box`, `1-click`, `3-click`, …

        Raises:
            SettingsError: The text is none of these.
        """
        number = re.fullmatch(r"([1-9]\d?)-clicks?", text)
        if number is None and text not in ("mask", "box"):
            raise SettingsError("bad-usage", f"the prompt must be mask, box, 1-click, 3-click, …, got {text!r}")
        return FirstPrompt(f"{number[1]}-click", int(number[1])) if number else FirstPrompt(text)


def track_clip(model: Segmenter, clip: AnnotatedClip, first_prompt: FirstPrompt) -> Iterator[tuple[int, Masks]]:
    """Track the objects of a clip from the first frame with a ground-truth mask of each to the end.

    With a memory policy that keeps several hypotheses, the masks are those of the best ones at the end of the clip.
    Objects do not influence each other: tracking them together gives the same masks as tracking each alone.

    Args:
        model: The model.
        clip: The clip and its ground truth.
        first_prompt: The kind of prompt on the first frame of each object.

    Yields:
        The number of each frame with the masks of all objects, which are empty before an object's first frame.

    Raises:
        FormatError: The clip has no ground-truth mask.
        VideoError: A frame cannot be decoded (`frame-corrupt`).
    """
    starts = clip.first_masks()
    object_ids = sorted(key for masks in starts.values() for key in masks)
    with name_clip(clip), closing(clip.video()) as video:
        tracker = Tracker(model.backend, length=len(clip), view=model.view, memory=model.memory)

        def prompt(index: int, frame: Frame) -> None:
            if index in starts:
                _prompt_objects(tracker, index, frame.image, starts[index], first_prompt)

        visits = visit_in_order(video.frames(range(len(clip))))
        revises = model.memory.revises
        needed = None if revises else need_nothing
        for frame in propagate(tracker, visits, before=prompt, on_corrupt="raise", needed=needed):
            if not revises:
                yield frame.index, _add_absent_objects(frame.masks, object_ids)
        if revises:
            tracker.settle(len(clip) - 1)
            yield from ((index, _add_absent_objects(tracker.masks(index), object_ids)) for index in range(len(clip)))


def name_clip(clip: AnnotatedClip) -> AbstractContextManager[None]:
    """Prepend the name of a clip to the message of a `VideoError`."""
    return translate_errors(VideoError, into=lambda error: VideoError(error.code, f"{clip.name}: {error.message}"))


def _prompt_objects(
    tracker: Tracker, frame: int, image: Image, ground_truths: Mapping[int, Mask], first_prompt: FirstPrompt
) -> None:
    """Prompt objects on a frame with masks, boxes or simulated clicks from their ground truth."""
    if not first_prompt.clicks:
        prompt = mask if first_prompt.name == "mask" else simulate_box
        tracker.prompt(frame, {key: prompt(true) for key, true in ground_truths.items()}, image)
        return
    add_clicks(tracker, frame, image, ground_truths, {}, first_prompt.clicks)


def add_clicks(
    tracker: Tracker,
    frame: int,
    image: Image,
    ground_truths: Mapping[int, Mask],
    prompts: dict[int, Prompt],
    clicks: int,
) -> None:
    """Prompt objects on a frame with simulated clicks, each placed in the error of the current mask.

    Args:
        tracker: The tracker.
        frame: The number of the frame.
        image: The RGB image, (H, W, 3) uint8.
        ground_truths: The ground-truth masks of the objects to correct, (H, W) bool.
        prompts: The earlier clicks of each object on this frame. The new clicks are added in place.
        clicks: The number of clicks to add. An object without error gets no further click.
    """
    for _ in range(clicks):
        masks = _read_masks(tracker, frame)
        simulated = {key: simulate_click(true, masks.get(key)) for key, true in ground_truths.items()}
        new = {
            key: prompts[key] + click if key in prompts else click
            for key, click in simulated.items()
            if click is not None
        }
        if not new:
            return
        prompts.update(new)
        tracker.prompt(frame, new, image)


def _read_masks(tracker: Tracker, frame: int) -> dict[int, Mask]:
    """Return the masks of the objects that have a result on a frame."""
    predicted = [key for key, track in tracker.tracks.items() if frame in track.results]
    if not predicted:
        return {}
    masks = tracker.masks(frame)
    return {key: masks.of(key).binary[0] for key in predicted}


def _add_absent_objects(masks: Masks, object_ids: list[int]) -> Masks:
    """Add empty masks for the objects that have not appeared yet."""
    absent = [key for key in object_ids if key not in masks.object_ids]
    if not absent:
        return masks
    empty = Masks.from_binary(np.zeros((len(absent), *masks.size), bool), object_ids=absent)
    return Masks.join([masks, empty])

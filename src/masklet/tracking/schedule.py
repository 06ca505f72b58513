"""Schedule of prompts: which objects are prompted on which frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from masklet.prompts import Prompt, Prompts, check_integer, group_by_object

Schedule: TypeAlias = Mapping[int, Mapping[int, Prompt]]
"""Prompts by frame, then by object: `{frame: {object_id: prompt}}`."""

PromptsByFrame: TypeAlias = Mapping[int, Mapping[int, Prompt] | Sequence[Prompt]]
"""A `Schedule` in which a list of prompts may stand for objects 1, 2, …"""


def as_schedule(prompts: Prompts | PromptsByFrame, start: int = 0) -> dict[int, dict[int, Prompt]]:
    """Return prompts as a schedule, `{frame: {object_id: prompt}}`.

    Args:
        prompts: What `EmbeddedImage.predict` takes, for frame `start`, or a mapping from frame to that.
        start: Frame of prompts without a frame.

    Raises:
        PromptError: There is no prompt, an argument is not a prompt, or a frame or an object id is not an integer.
    """
    if isinstance(prompts, Mapping) and prompts and not any(isinstance(value, Prompt) for value in prompts.values()):
        by_frame: Mapping[Any, Any] = prompts
        if all(isinstance(value, Mapping | list | tuple) for value in by_frame.values()):
            return {
                check_integer(frame, "a frame"): group_by_object(value, f"track(video, {{{{{frame}: {{}}}}}})")
                for frame, value in by_frame.items()
            }
    without_frames: Any = prompts
    return {start: group_by_object(without_frames, "track(video, {})")}

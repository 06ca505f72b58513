"""Tracking requests: video, prompts, frames, model, post-processing and output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from masklet.cli.options import ModelOptions
from masklet.errors import SettingsError
from masklet.formats import Format
from masklet.formats.image_layout import FrameMode
from masklet.images.spacing import Spacing
from masklet.masks.effects import WHITE, Background
from masklet.masks.postprocessing import PostProcessing
from masklet.tracking.auto_tracker import AutoTrackOptions
from masklet.tracking.schedule import Schedule


@dataclass(frozen=True, slots=True)
class FrameRange:
    """The frames to visit, from `start` to before `stop`, and their order."""

    direction: Literal["forward", "backward", "both"]
    start: int
    stop: int | None
    every: int


@dataclass(frozen=True, slots=True)
class VideoPolicy:
    """How irregular videos are read.

    Attributes:
        rotate: Apply the rotation that the file declares.
        rescale: Resize frames of another size to the size of the first frame; otherwise tracking stops there.
        carry: Give frames that cannot be decoded the masks of the frame before; otherwise none.
        strict: Fail on a truncated video and on a frame that cannot be decoded.
        value_range: The numbers of black and white of a stack; None for those of its file.
    """

    rotate: bool = True
    rescale: bool = False
    carry: bool = False
    strict: bool = False
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class TrackRequest:
    """A tracking job. With `auto_track` the objects are found automatically and `schedule` is empty.

    `frames` says how images of the frames are written beside annotations; None is the default of each format.

    Raises:
        SettingsError: `bad-usage` if both `resume` and `overwrite` are set.
    """

    source: Path
    schedule: Schedule
    range: FrameRange
    model: ModelOptions
    postprocessing: PostProcessing
    policy: VideoPolicy
    out: Path
    formats: list[Format]
    resume: bool
    overwrite: bool
    auto_track: AutoTrackOptions | None = None
    background: Background = WHITE
    spacing: Spacing | None = None
    frames: FrameMode | None = None

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            message = "--resume continues an earlier job and --overwrite replaces it; choose one"
            raise SettingsError("bad-usage", message)

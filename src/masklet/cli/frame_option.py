"""The option `--frames`: how images of frames are written beside annotations."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING

from masklet.errors import SettingsError

if TYPE_CHECKING:
    from masklet.formats import Format
    from masklet.formats.image_layout import FrameMode

EXPLANATION = (
    "Images written beside labelme, yolo, coco, ytvis and cvat: copy or link image files (frames of a video become "
    "JPEG), encode all as jpg or png, or none."
)


class Frames(str, Enum):
    """How images of frames are written."""

    COPY = "copy"
    LINK = "link"
    JPG = "jpg"
    PNG = "png"
    NONE = "none"


def parse_frames(frames: Frames | None, forms: Iterable[Format]) -> FrameMode | None:
    """Return the value of `--frames` for formats.

    Raises:
        SettingsError: `bad-usage` if images are requested and no format has images.
    """
    if frames is None or frames is Frames.NONE:
        return None if frames is None else "none"
    if not any(form.images for form in forms):
        message = f"--frames {frames.value} needs a format with images: labelme, yolo, coco, ytvis or cvat"
        raise SettingsError("bad-usage", f"{message}; add one to --format")
    mode: FrameMode = frames.value
    return mode

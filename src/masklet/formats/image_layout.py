"""Image layouts: where formats expect the images of their frames, and the names under which they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from masklet.errors import SettingsError
from masklet.files.image_files import has_image_suffix

FrameMode = Literal["copy", "link", "jpg", "png", "none"]
"""How images of frames are written beside annotations.

`copy` copies image files and `link` links them where the file system can, each with their names; frames of a video file
are JPEG. `jpg` and `png` encode every frame. `none` writes no images.
"""

FRAME_MODES: tuple[FrameMode, ...] = get_args(FrameMode)


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """Where the tools of a format expect the images of the frames.

    Attributes:
        folder: Folder of the images within the folder of the format or beside its file; "" for the same folder.
        is_required: The tools cannot open the annotations without the images, so these are written by default.
        pattern: Name of an image by frame index, such as "frame_{:06d}.png", if the format prescribes it.
    """

    folder: str
    is_required: bool = False
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class FrameImages:
    """Images of frames that are written beside annotations.

    Attributes:
        layout: Their folder and names.
        mode: How they are written; not `none`.
        files: The image files of the frames, or None for a video file.
    """

    layout: ImageLayout
    mode: FrameMode
    files: Sequence[Path] | None = None

    def path(self, index: int, stem: str) -> str:
        """Return the path of a frame's image, relative to the format's folder or that of its file.

        Args:
            index: The frame.
            stem: Base name of the frame's files.
        """
        name = self.layout.pattern.format(index) if self.layout.pattern else stem + self._suffix(index)
        return f"{self.layout.folder}/{name}" if self.layout.folder else name

    def _suffix(self, index: int) -> str:
        if self.mode in ("jpg", "png") or not self.files:
            return ".png" if self.mode == "png" else ".jpg"
        return self.files[index].suffix if has_image_suffix(self.files[index]) else ".png"


def check_frame_mode(mode: str | None) -> None:
    """Raise `SettingsError` if `mode` is neither None nor a `FrameMode`."""
    if mode is not None and mode not in FRAME_MODES:
        raise SettingsError("bad-usage", f"frames are one of {', '.join(FRAME_MODES)}, got {mode!r}")

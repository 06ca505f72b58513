"""Video input: files, folders of images, arrays, iterators, cameras and network streams as numbered frames.

The names are imported on first use, because the decoder process needs only a few of these modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "Frame": "frames",
    "LiveVideo": "frames",
    "Video": "frames",
    "VideoOptions": "options",
    "camera": "cameras",
    "open_video": "open",
    "stream": "network_stream",
}

__all__ = ["Frame", "LiveVideo", "Video", "VideoOptions", "camera", "open_video", "stream"]

if TYPE_CHECKING:
    from masklet.video.cameras import camera
    from masklet.video.frames import Frame, LiveVideo, Video
    from masklet.video.network_stream import stream
    from masklet.video.open import open_video
    from masklet.video.options import VideoOptions


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'masklet.video' has no attribute {name!r}")
    value = getattr(import_module(f"masklet.video.{_HOMES[name]}"), name)
    globals()[name] = value
    return value

"""Video in: files, folders of pictures, arrays, iterators, cameras and streams, all as numbered frames.

Names are loaded when first used: the process that decodes a file needs one of these modules only.
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

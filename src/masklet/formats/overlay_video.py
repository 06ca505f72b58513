"""Overlay video: the masks drawn on the video, with its frame times and audio."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from masklet.formats.drawn_video import write_drawn_video
from masklet.formats.format import Clip, FileFormat
from masklet.masks import overlay, rle
from masklet.masks.rle_frame import RleFrame


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write H.264 in MP4. Audio is copied, or encoded as AAC if MP4 does not support its codec."""
    write_drawn_video(handle, frames, clip, _draw)


OVERLAY = FileFormat("overlay", "overlay.mp4", write, shows_images=True)


def _draw(image: NDArray[np.uint8], frame: RleFrame) -> NDArray[np.uint8]:
    return overlay.draw_overlay(image, (rle.decode(mask.rle) for mask in frame), frame.object_ids)

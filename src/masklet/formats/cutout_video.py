"""Cutout video: the objects of a video with an alpha channel."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_source import frame_times, pair_with_images
from masklet.formats.video_encoder import PRORES_4444, VP9_ALPHA, Codec, VideoEncoder
from masklet.masks import effects, overlay, rle
from masklet.masks.rle_frame import RleFrame

_RIM = 8  # pixels around the masks that keep their color, so that compression does not darken the edge


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip, *, codec: Codec) -> None:
    """Write the union of all masks, without audio. Colors are not premultiplied; away from objects they are black."""
    times = frame_times(frames)
    with VideoEncoder(handle, codec, clip.size, times.timing) as encoder:
        for frame, image in pair_with_images(frames, clip):
            alpha = overlay.make_binary_alpha((rle.decode(mask.rle) for mask in frame), frame.size)
            encoder.add(_cut(image, alpha), times.ticks(frame))


CUTOUT = FileFormat("cutout", "cutout.webm", partial(write, codec=VP9_ALPHA), shows_images=True)
PRORES = FileFormat("prores", "cutout.mov", partial(write, codec=PRORES_4444), shows_images=True)


def _cut(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image as RGBA (H, W, 4) with a smoothed edge of the binary `alpha`."""
    near = cv2.dilate(alpha, np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8))
    return np.dstack([cv2.copyTo(image, near), effects.smooth_edge(alpha)])

"""The objects cut out of the video: pictures with an alpha channel, to be laid over anything."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_source import pictures, source, times
from masklet.formats.video_encoder import PRORES_4444, VP9_ALPHA, Codec, VideoEncoder
from masklet.masks import drawing, rle
from masklet.masks.rle_frame import CodedFrame

_RIM = 8  # pixels around the masks that keep their colours, so that compression does not darken the edge
_SOFTNESS = 3  # pixels: the side of the window that makes the edge smooth


def write(handle: BinaryIO, frames: Iterable[CodedFrame], clip: Clip, *, codec: Codec) -> None:
    """All masks together, without sound. Colours are not multiplied with alpha; away from objects they are black."""
    with source(clip) as opened:
        when = times(frames, opened.time_base)
        with VideoEncoder(handle, codec, clip.size, when.timing) as encoder:
            for frame, picture in pictures(frames, clip):
                alpha = drawing.sharp_alpha((rle.decode(mask.code) for mask in frame), frame.size)
                encoder.add(_cut(picture, alpha), when.of(frame))


CUTOUT = FileFormat("cutout", "cutout.webm", partial(write, codec=VP9_ALPHA), pictures=True)
PRORES = FileFormat("prores", "cutout.mov", partial(write, codec=PRORES_4444), pictures=True)


def _cut(picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) RGBA with the edge of a sharp `alpha` made smooth."""
    near = cv2.dilate(alpha, np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8))
    smooth = cv2.GaussianBlur(alpha, (_SOFTNESS, _SOFTNESS), 0, borderType=cv2.BORDER_REPLICATE)
    return np.dstack([cv2.copyTo(picture, near), smooth])

"""Effect video: the video with an effect of `masks/effects.py`, with its frame times and audio."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from masklet.formats.drawn_video import write_drawn_video
from masklet.formats.format import Clip, FileFormat
from masklet.images import read_image
from masklet.masks import effects, rle
from masklet.masks.rle_frame import RleFrame


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip, *, effect: str) -> None:
    """Write H.264 in MP4 with the union of all masks as the objects of the effect. Audio is as in overlay videos."""
    apply = effects.find_effect(effect)
    background = effects.fit_background(clip.background, clip.size)

    def draw(image: NDArray[np.uint8], frame: RleFrame) -> NDArray[np.uint8]:
        alpha = effects.make_alpha((rle.decode(mask.rle) for mask in frame), frame.size)
        return apply(image, alpha, background)

    write_drawn_video(handle, frames, clip, draw)


EFFECT_VIDEOS = tuple(
    FileFormat(name, f"{name}.mp4", partial(write, effect=name), shows_images=True) for name in effects.EFFECTS
)


def read_background(text: str) -> effects.Background:
    """Return a background from the path of an image file, or from the name of a color.

    Raises:
        SettingsError: It is neither.
        ImageError: The file is not an image.
    """
    return read_image(text) if Path(text).is_file() else effects.check_background(text)

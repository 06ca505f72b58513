"""Drawn video: every frame of a video drawn with its masks, with the video's frame times and audio."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from masklet.formats.audio import AudioCopier
from masklet.formats.format import Clip
from masklet.formats.frame_source import frame_times, pair_with_images
from masklet.formats.video_encoder import H264, VideoEncoder
from masklet.masks.rle_frame import RleFrame

Draw = Callable[[NDArray[np.uint8], RleFrame], NDArray[np.uint8]]


def write_drawn_video(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip, draw: Draw) -> None:
    """Write H.264 in MP4. Audio is copied, or encoded as AAC if MP4 does not support its codec.

    Audio that cannot be read is left out with a warning.

    Args:
        handle: The file to write.
        frames: The frames, sorted; they may be iterated several times.
        clip: The clip with its video.
        draw: Returns the new image (H, W, 3) of an image (H, W, 3) and its masks.
    """
    times = frame_times(frames)
    source = clip.path if clip.path is not None and clip.path.is_file() else None
    with (
        VideoEncoder(handle, H264, clip.size, times.timing) as encoder,
        AudioCopier(source, encoder.container, times.start, times.stop) as audio,
    ):
        for frame, image in pair_with_images(frames, clip):
            time = times.ticks(frame)
            audio.write_until(float(time * times.timing.time_base))
            encoder.add(draw(image, frame), time)
        audio.write_until(times.stop - times.start)

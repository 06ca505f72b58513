"""Overlay video: the masks drawn on the video, with its frame times and audio."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from masklet.formats.audio import AudioCopier
from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_source import frame_times, open_source, pair_with_images
from masklet.formats.video_encoder import H264, VideoEncoder
from masklet.masks import overlay, rle
from masklet.masks.rle_frame import RleFrame


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write H.264 in MP4. Audio is copied, or encoded as AAC if MP4 does not support its codec."""
    with open_source(clip) as source:
        times = frame_times(frames, source.time_base)
        with VideoEncoder(handle, H264, clip.size, times.timing) as encoder:
            audio = AudioCopier(source.container, encoder.container, times.start, times.stop)
            for frame, image in pair_with_images(frames, clip):
                time = times.ticks(frame)
                audio.write_until(float(time * times.timing.time_base))
                masks = (rle.decode(mask.rle) for mask in frame)
                encoder.add(overlay.draw_overlay(image, masks, frame.object_ids), time)
            audio.write_until(times.stop - times.start)


OVERLAY = FileFormat("overlay", "overlay.mp4", write, shows_images=True)

"""The video with its masks drawn on it, at its own times and with its own sound."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from masklet.formats.audio import Sound
from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_source import pictures, source, times
from masklet.formats.video_encoder import H264, VideoEncoder
from masklet.masks import drawing, rle
from masklet.masks.rle_frame import CodedFrame


def write(handle: BinaryIO, frames: Iterable[CodedFrame], clip: Clip) -> None:
    """H.264 in MP4; sound as in the source, or AAC where MP4 cannot hold it."""
    with source(clip) as opened:
        when = times(frames, opened.time_base)
        with VideoEncoder(handle, H264, clip.size, when.timing) as encoder:
            sound = Sound(opened.container, encoder.container, when.start, when.stop)
            for frame, picture in pictures(frames, clip):
                time = when.of(frame)
                sound.write_until(float(time * when.timing.time_base))
                masks = (rle.decode(mask.code) for mask in frame)
                encoder.add(drawing.overlay(picture, masks, frame.object_ids), time)
            sound.write_until(when.stop - when.start)


OVERLAY = FileFormat("overlay", "overlay.mp4", write, pictures=True)

"""Clips with sound in any codec, and damage to them: a red square that moves, and a tone as long as the images."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SIZE = (64, 96)  # H, W
BOX = (8, 20, 32, 44)  # of the square on frame 0, (x0, y0, x1, y1)
_PERIOD = 12  # frames after which the square starts again
_BLOCK = 1024  # samples


def draw_frame(index: int) -> NDArray[np.uint8]:
    """Draw a frame (H, W, 3): a red square that moves 4 pixels per frame, and a green rectangle that does not."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    left = BOX[0] + 4 * (index % _PERIOD)
    image[20:44, left : left + 24], image[4:16, 70:90] = [230, 30, 30], [20, 200, 40]
    return image


def write_sound_clip(
    path: Path,
    codec: str = "libx264",
    *,
    frames: int = 12,
    rate: int = 10,
    pixel_format: str = "yuv420p",
    sounds: Sequence[str] = (),
    sound_rate: int = 44_100,
    layout: str = "mono",
    sound_start: float = 0.0,
    sound_seconds: float | None = None,
    first_time: int = 0,
    container: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip.

    Args:
        path: The file; its suffix selects the container unless `container` names it.
        codec: FFmpeg's name of the video encoder.
        frames: Number of frames.
        rate: Frames per second.
        pixel_format: The pixel format of the video.
        sounds: FFmpeg's name of the encoder of each sound stream.
        sound_rate: Samples per second.
        layout: The channel layout.
        sound_start: Time of the first sample in seconds.
        sound_seconds: Length of the sound; by default that of the images.
        first_time: Time of the first frame in frames.
        container: FFmpeg's name of the container.
        options: Options of the container.

    Returns:
        `path`.
    """
    seconds = frames / rate if sound_seconds is None else sound_seconds
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        stream: Any = output.add_stream(codec, rate=rate)
        (stream.height, stream.width), stream.pix_fmt = SIZE, pixel_format
        packets: list[Any] = []
        for name in sounds:
            sound: Any = output.add_stream(name, rate=sound_rate, layout=layout)
            packets += _encode_tone(sound, sound_rate, sound_start, seconds)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(draw_frame(index), format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = first_time + index, Fraction(1, rate)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            output.mux(packet)
    return path


def damage_bytes(data: bytes, share: float, low: float, high: float) -> bytes:
    """Replace a share of the bytes, at random places between two shares of the file, by random bytes."""
    broken, rng = bytearray(data), random.Random(0)
    for _ in range(int(len(broken) * share)):
        broken[int(len(broken) * (low + (high - low) * rng.random()))] = rng.randrange(256)
    return bytes(broken)


def find_avi_chunks(data: bytes | bytearray, name: bytes) -> list[tuple[int, int]]:
    """Return start and end of the content of each chunk of the frames in an AVI file, such as b"01wb" of sound."""
    position, found = data.index(b"movi") + 4, []
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == name:
            found.append((position + 8, position + 8 + length))
        position += 8 + length + length % 2
    return found


def read_times(path: Path) -> list[float]:
    """Return the times of the frames of a video in seconds."""
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(container.streams.video[0]) if frame.time is not None]


def measure_sounds(path: Path) -> list[tuple[str, int, float, float]]:
    """Return codec, sample rate, start and end of each sound stream of a video, the times in seconds.

    The streams are decoded, so that a stream that no player can decode raises an error.
    """
    found = []
    with av.open(str(path)) as container:
        count = len(container.streams.audio)
    for number in range(count):
        with av.open(str(path)) as container:
            context = container.streams.audio[number].codec_context
            frames = [(frame.time or 0.0, frame.samples) for frame in container.decode(audio=number)]
            end = frames[-1][0] + frames[-1][1] / context.sample_rate if frames else 0.0
            found.append((context.name, context.sample_rate, frames[0][0] if frames else 0.0, end))
    return found


def _encode_tone(stream: Any, rate: int, start: float, seconds: float) -> list[Any]:
    total = int(seconds * rate)
    tone = (np.sin(np.arange(total) / rate * 2764) * 8000).astype(np.int16)
    sample_format = stream.format.name if stream.format else "s16"
    resampler = av.AudioResampler(sample_format, stream.layout, rate, stream.frame_size or _BLOCK)
    packets: list[Any] = []
    for position in range(0, total, _BLOCK):
        frame = av.AudioFrame.from_ndarray(tone[None, position : position + _BLOCK], format="s16p", layout="mono")
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = position + round(start * rate)
        for resampled in resampler.resample(frame):
            packets += stream.encode(resampled)
    for resampled in resampler.resample(None):
        packets += stream.encode(resampled)
    return [*packets, *stream.encode(None)]

"""Times and frame numbers of videos, which Label Studio counts at a frame rate of its own."""

from __future__ import annotations

from bisect import bisect_right

from masklet.files.json_fields import Fields
from masklet.video import Video

_TOLERANCE_S = 0.002  # of a time that is rounded to milliseconds


def find_frame(video: Video, context: Fields) -> int:
    """Return the frame, from 0, that a request is about: by its `time_ms`, else by its `frame`, which counts from 1.

    Raises:
        FormatError: `annotation-broken`. One of them is not a number.
    """
    if context.get("time_ms") is not None:
        return find_frame_at(video, context.number("time_ms") / 1000)
    return min(max(context.integer("frame", 1) - 1, 0), len(video) - 1)


def find_frame_at(video: Video, time_s: float) -> int:
    """Return the frame, from 0, that a player shows at a time; the first or the last one for times outside."""
    times = [time for time in video.times if time is not None]
    return min(max(bisect_right(times, time_s + _TOLERANCE_S) - 1, 0), len(video) - 1)


def read_time(video: Video, index: int, fps: float) -> float:
    """Return the time of a frame in seconds, from its number where the video states none."""
    time = video.times[index]
    return time if time is not None else index / fps if fps else 0.0

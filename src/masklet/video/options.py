"""How a video is to be read: what is honoured, what is refused, how long the decoder may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """`autorotate` obeys the rotation and flips that a file asks for. `rescale` brings frames of another size to the
    first one's; without it they end the video with an error.

    `isolated` decodes files in a process of its own, which is killed when it hangs and whose crash is only an error; it
    costs a fraction of a second per file. Without it files must be trustworthy. `max_pixels` bounds a frame;
    `seconds_per_frame` and `seconds_to_open` bound the time in which a decoder must show a sign of life.
    """

    autorotate: bool = True
    rescale: bool = False
    isolated: bool = True
    max_pixels: int = 8192 * 8192
    frame_timeout_s: float = 10.0
    open_timeout_s: float = 15.0

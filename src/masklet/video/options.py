"""Options of video reading: orientation, frame size, and the limits of the decoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """Options of `open_video`.

    Attributes:
        autorotate: Apply the rotation and the flips that a file states.
        rescale: Scale frames of another size to the size of the first frame. Without it they raise an error.
        scale_to: Scale every frame of a file to (H, W) by FFmpeg's bicubic filter, in one step with the conversion to
            RGB and without keeping proportions. Frames of folders, arrays and iterators are not scaled.
        isolated: Decode files in a process of their own. It is killed if it hangs, and its crash raises an error. It
            costs a fraction of a second per file; without it, open only files from trusted sources.
        value_range: (low, high) of the numbers of stacks that is scaled to 0 … 255. By default it is that of the file,
            or estimated from the slices. Other videos have 8 bits and ignore it.
        max_pixels: The largest number of pixels of a frame.
        frame_timeout_s: Seconds without a heartbeat after which the decoder of a frame is killed.
        open_timeout_s: The same for opening a file.

    Example:
        >>> video = masklet.open_video("dog.mp4", masklet.VideoOptions(autorotate=False))
    """

    autorotate: bool = True
    rescale: bool = False
    scale_to: tuple[int, int] | None = None
    isolated: bool = True
    value_range: tuple[float, float] | None = None
    max_pixels: int = 8192 * 8192
    frame_timeout_s: float = 10.0
    open_timeout_s: float = 15.0

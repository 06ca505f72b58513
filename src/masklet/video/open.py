"""`open_video`: whatever a user calls a video."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, overload

from numpy.typing import NDArray

from masklet.errors import VideoError
from masklet.files.open_input import require_input
from masklet.video.containers import check_address
from masklet.video.frame_folder import find_frame_files
from masklet.video.frames import LiveVideo, Video
from masklet.video.image_sequence import ImageIterator, ImageSequence
from masklet.video.options import VideoOptions
from masklet.video.video_file import VideoFile


@overload
def open_video(source: int, options: VideoOptions | None = None) -> LiveVideo: ...
@overload
def open_video(
    source: str | os.PathLike[str] | list[Any] | tuple[Any, ...] | NDArray[Any], options: VideoOptions | None = None
) -> Video: ...
@overload
def open_video(source: Any, options: VideoOptions | None = None) -> Video | LiveVideo: ...
def open_video(source: Any, options: VideoOptions | None = None) -> Video | LiveVideo:
    """A video over a file, a folder, a pattern, a list, an array, an iterator or a camera.

    | source                                             | video                                                   |
    |----------------------------------------------------|---------------------------------------------------------|
    | path of a file                                     | its frames, counted; MP4, MOV, MKV, WebM, AVI, MPEG, …  |
    | path of a folder, pattern such as `"frames/*.png"` | its pictures in natural order: 9 before 10              |
    | list of paths or of anything `read_image` takes    | these pictures in this order                            |
    | array (T, H, W, C), tensor (T, C, H, W)            | its pictures                                            |
    | iterator of anything `read_image` takes            | a `LiveVideo`: frames come once, in order               |
    | number                                             | the camera of that number, a `LiveVideo`; see `camera`  |

    All others are a `Video`: `len(video)`, `video[7]`, `for frame in video`, `video.frames(range(20, 0, -1))`. Files
    may not open other files; addresses are refused here, `stream(url)` opens them. Times are those that the file has.
    A truncated or damaged file gives what can be decoded, with a warning. Nothing is deinterlaced or tone-mapped.

    Raises `InputNotFound`; `VideoError`: `reference-file-refused`, `unsupported-format`, `no-video-stream`,
    `video-no-frames`, `codec-unavailable`, `too-many-pixels`, `frames-inconsistent`, `decoder-timeout`,
    `decoder-crashed`; `ImageError` for a first picture that cannot be read; `ResourceError` for cameras.
    """
    options = options or VideoOptions()
    if isinstance(source, str | os.PathLike):
        return _at_path(os.fspath(source), options)
    if isinstance(source, int) and not isinstance(source, bool):
        from masklet.video.cameras import camera

        return camera(source)
    if hasattr(source, "shape"):
        return _over_array(source, options)
    if isinstance(source, list | tuple):
        names = [str(item) if isinstance(item, str | os.PathLike) else f"item {i}" for i, item in enumerate(source)]
        return ImageSequence("the list", source, names, options)
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | dict | set):
        return ImageIterator(source, options)
    message = f"a video is a path, a list, an array, an iterator or the number of a camera, not {type(source).__name__}"
    raise VideoError("unsupported-format", message)


def _at_path(source: str, options: VideoOptions) -> Video:
    check_address(source)
    pictures = find_frame_files(source)
    return VideoFile(require_input(source), options) if pictures is None else _over_files(source, pictures, options)


def _over_files(name: str, files: list[Path], options: VideoOptions) -> ImageSequence:
    return ImageSequence(name, files, [str(path) for path in files], options)


def _over_array(array: Any, options: VideoOptions) -> ImageSequence:
    if len(array.shape) != 4:
        message = f"a video is (T, H, W, C), a tensor (T, C, H, W), got shape {tuple(array.shape)}"
        raise VideoError("unsupported-format", message)
    return ImageSequence("the array", array, [f"frame {index}" for index in range(len(array))], options)

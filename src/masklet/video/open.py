"""Video opening: `open_video` for files, folders, patterns, lists, arrays, iterators and cameras."""

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
from masklet.video.stacks.detection import find_stack
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
    """Open a video.

    | source                                                 | video                                                 |
    |--------------------------------------------------------|-------------------------------------------------------|
    | path of a file                                         | its frames; MP4, MOV, MKV, WebM, AVI, MPEG, …         |
    | path of a folder, or a pattern such as `frames/*.png`  | its images in natural order: frame9 before frame10    |
    | TIFF stack, NIfTI file, DICOM file or folder of a series | its slices; needs the extra `stacks`               |
    | list of paths or of anything that `read_image` accepts | these images in this order                            |
    | array (T, H, W, C) or tensor (T, C, H, W)              | its images                                            |
    | iterator of anything that `read_image` accepts         | a `LiveVideo`: frames come once and in order          |
    | integer                                                | the camera of that number, a `LiveVideo`              |

    A file is opened as video only: files that reference other files are refused, and so are addresses, which
    `masklet.stream(url)` opens. A damaged file gives the frames that can be decoded, with a warning. Frames are
    neither deinterlaced nor tone-mapped.

    Args:
        source: The video, see above.
        options: Options of files, folders and iterators. Cameras have separate options, see `masklet.camera`.

    Returns:
        A `Video`, or a `LiveVideo` for iterators and cameras.

    Raises:
        InputNotFound: The file or folder does not exist or cannot be read.
        VideoError: `reference-file-refused`, `unsupported-format`, `no-video-stream`, `video-no-frames`,
            `codec-unavailable`, `too-many-pixels`, `frames-inconsistent`, `decoder-timeout` or `decoder-crashed`.
        ImageError: The first image of a folder, list, array or iterator cannot be read.
        ResourceError: The camera cannot be opened.

    Example:
        >>> video = masklet.open_video("dog.mp4")
        >>> image = video[7]
        >>> for frame in video.frames(range(len(video) - 1, -1, -1)):
        ...     print(frame.index, frame.time)
    """
    options = options or VideoOptions()
    if isinstance(source, str | os.PathLike):
        return _open_path(os.fspath(source), options)
    if isinstance(source, int) and not isinstance(source, bool):
        from masklet.video.cameras import camera

        return camera(source)
    if hasattr(source, "shape"):
        return _open_array(source, options)
    if isinstance(source, list | tuple):
        names = [str(item) if isinstance(item, str | os.PathLike) else f"item {i}" for i, item in enumerate(source)]
        return ImageSequence("the list", source, names, options)
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | dict | set):
        return ImageIterator(source, options)
    message = f"a video is a path, list, array, iterator or camera number, not {type(source).__name__}"
    raise VideoError("unsupported-format", message)


def _open_path(source: str, options: VideoOptions) -> Video:
    check_address(source)
    if kind := find_stack(Path(source)):
        from masklet.video.stacks.open import open_stack

        return open_stack(Path(source), kind, options)
    files = find_frame_files(source)
    return VideoFile(require_input(source), options) if files is None else _open_files(source, files, options)


def _open_files(name: str, files: list[Path], options: VideoOptions) -> ImageSequence:
    return ImageSequence(name, files, [str(path) for path in files], options)


def _open_array(array: Any, options: VideoOptions) -> ImageSequence:
    if len(array.shape) != 4:
        message = f"a video is an array (T, H, W, C) or a tensor (T, C, H, W), got shape {tuple(array.shape)}"
        raise VideoError("unsupported-format", message)
    return ImageSequence("the array", array, [f"frame {index}" for index in range(len(array))], options)

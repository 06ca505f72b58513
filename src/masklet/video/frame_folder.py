"""Frame folders: the image files of a folder or pattern that are the frames of a video, and their order."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

from masklet.errors import VideoError
from masklet.files.error_translation import translate_read_errors
from masklet.files.image_files import has_wildcards, is_pattern, match_pattern, select_images
from masklet.video.stacks.detection import list_series


def list_images(folder: Path) -> list[Path]:
    """List the images of a folder in natural order, so that frame10 follows frame9.

    A file is an image by its suffix, or by its content if no file has an image's suffix. Hidden files are left out.

    Raises:
        VideoError: `video-no-frames` if there are no images, `frames-inconsistent` if two images have the same name
            with different suffixes.
        InputNotFound: The folder cannot be read.
    """
    with translate_read_errors(folder):
        files = list(folder.iterdir())
    return _check_frames(select_images(files), str(folder))


def find_frame_files(source: str) -> list[Path] | None:
    """Find the images of a folder, or of a pattern such as `frames/*.png`, in natural order.

    Returns:
        The files, or None if `source` is one file or a DICOM series.

    Raises:
        VideoError: See `list_images`.
        InputNotFound: See `list_images`.
    """
    if list_series(Path(source)):
        return None
    if is_pattern(source):
        return _check_frames([path for path in match_pattern(source) if path.is_file()], source)
    return list_images(Path(source)) if Path(source).is_dir() else None


def name_video(source: Path) -> str:
    """Return the name of a video: that of its file or folder without suffix, or of the folder above a pattern."""
    if source.exists():
        return Path(os.path.realpath(source)).stem.removesuffix(".nii")
    names = (folder.name for folder in source.absolute().parents)
    plain = (name for name in names if not has_wildcards(name))
    return next(plain, "") or "video"


def _check_frames(files: list[Path], name: str) -> list[Path]:
    if not files:
        raise VideoError("video-no-frames", f"{name} contains no images", path=name)
    for first, second in pairwise(files):
        if first.with_suffix("") == second.with_suffix(""):
            message = f"{first.name} and {second.name} in {name} are the same frame; move masks to another folder"
            raise VideoError("frames-inconsistent", message, path=name)
    return files

"""Which files of a folder are the frames of a video, and in what order?"""

from __future__ import annotations

import glob
from itertools import pairwise
from pathlib import Path

from masklet.errors import VideoError
from masklet.files.image_files import select_images, sort_naturally
from masklet.files.translate import translate_read_errors

_SIGNS = "*?["  # of a pattern


def list_images(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order: by their suffix, or by content where no name has such a suffix.

    Hidden files, folders and other files are left out. Raises `VideoError`: `video-no-frames` without pictures,
    `frames-inconsistent` for two of the same name with different suffixes; `InputNotFound`.
    """
    with translate_read_errors(folder):
        files = list(folder.iterdir())
    return _checked(select_images(files), str(folder))


def _match_images(pattern: str) -> list[Path]:
    """The files that match a pattern such as `frames/*.png`, in natural order. Raises like `pictures_in`."""
    found = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 - pathlib's takes no absolute patterns
    return _checked(sort_naturally(path for path in found if path.is_file()), pattern)


def find_frame_files(source: str) -> list[Path] | None:
    """The pictures that a folder or a pattern means, as `pictures_in` and `pictures_like` say; None for one file."""
    if any(sign in source for sign in _SIGNS) and not Path(source).exists():
        return _match_images(source)
    return list_images(Path(source)) if Path(source).is_dir() else None


def name_video(source: Path) -> str:
    """What a video is called: its file or folder, of a pattern the folder that it is in; without suffix."""
    if source.exists():
        return source.resolve().stem
    plain = (part.name for part in source.absolute().parents if not any(sign in part.name for sign in _SIGNS))
    return next(plain, "") or "video"


def _checked(ordered: list[Path], name: str) -> list[Path]:
    if not ordered:
        raise VideoError("video-no-frames", f"{name} holds no pictures", path=name)
    for one, other in pairwise(ordered):
        if one.with_suffix("") == other.with_suffix(""):
            message = f"{one.name} and {other.name} would both be the same frame; put masks into another folder"
            raise VideoError("frames-inconsistent", message, path=name)
    return ordered

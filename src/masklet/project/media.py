"""Media of a project: images and videos are found, described by their headers, and opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import MaskletError, VideoError
from masklet.files.error_translation import translate_read_errors
from masklet.files.file_type import HEAD_BYTES, detect_file_type
from masklet.files.image_files import IMAGE_TYPES, sort_naturally
from masklet.files.open_input import open_input, require_input
from masklet.images import read_image
from masklet.images.image_file import read_size
from masklet.project.entries import Medium, media_key
from masklet.project.project import Project
from masklet.video import Video, open_video
from masklet.video.containers import VIDEO_TYPES


@dataclass(frozen=True, slots=True)
class AddedMedia:
    """Result of `add_media`.

    Attributes:
        added: Numbers of new images and videos.
        known: Numbers of those that the project had.
        skipped: Files that are neither images nor videos, or cannot be read, each with the reason.
    """

    added: tuple[int, ...]
    known: tuple[int, ...]
    skipped: tuple[tuple[Path, str], ...]


def add_media(project: Project, paths: Iterable[str | Path], *, frame_folders: bool = False) -> AddedMedia:
    """Add images and videos to a project, in one action.

    Args:
        project: The project.
        paths: Images, videos, and folders of them. Folders within folders are skipped.
        frame_folders: Add each folder as a video whose frames are its images, in natural order.

    Raises:
        InputNotFound: A path does not exist.
        ResourceError: The log cannot be written.
    """
    known = _identify_media(project)
    added: dict[Path, Medium] = {}
    found: dict[int, None] = {}
    skipped: list[tuple[Path, str]] = []
    for path, problem in _list_files(paths, frame_folders):
        if problem:
            skipped.append((path, problem))
            continue
        identity = _identify(path)
        if identity in known:
            found[known[identity]] = None
        elif identity not in added:
            try:
                added[identity] = _describe(path, _make_relative(path, project.folder))
            except MaskletError as error:
                skipped.append((path, error.message))
    with project.lock:
        known = _identify_media(project)  # other threads may have added some meanwhile
        found |= {known[identity]: None for identity in added.keys() & known.keys()}
        added = {identity: medium for identity, medium in added.items() if identity not in known}
        first = project.document.new_medium()
        entries = {media_key(number): medium.to_json() for number, medium in enumerate(added.values(), start=first)}
        project.act("add_media", entries)
    return AddedMedia(tuple(range(first, first + len(added))), tuple(found), tuple(skipped))


def open_medium(project: Project, medium: int) -> NDArray[np.uint8] | Video:
    """Open an image, (H, W, 3) uint8 RGB, or a video.

    Raises:
        PromptError: `unknown-object`. The project has no such image or video.
        InputNotFound: The file is missing.
        ImageError: The image cannot be read.
        VideoError: The video cannot be read, or the file has another size or fewer frames than when it was added.
    """
    entry, path = project.document.medium(medium), locate_medium(project, medium)
    if entry.kind == "image":
        image = read_image(path)
        _check_size(path, (image.shape[0], image.shape[1]), 1, entry)
        return image
    video = open_video(path)
    try:
        _check_size(path, video.size, len(video), entry)
    except VideoError:
        video.close()
        raise
    return video


def locate_medium(project: Project, medium: int) -> Path:
    """Return the absolute path of an image or video. Raises `PromptError` (`unknown-object`)."""
    return Path(os.path.normpath(project.folder / project.document.medium(medium).path))


def _list_files(paths: Iterable[str | Path], frame_folders: bool) -> Iterator[tuple[Path, str]]:
    """Yield the given files, the files of folders in natural order, and frame folders, each with why it is skipped."""
    for path in map(require_input, paths):
        if not path.is_dir() or frame_folders:
            yield path, ""
            continue
        with translate_read_errors(path):
            entries = sort_naturally(entry for entry in path.iterdir() if not entry.name.startswith("."))
        yield from ((entry, _find_problem(entry)) for entry in entries)


def _find_problem(path: Path) -> str:
    """Return why a file of a folder is neither an image nor a video, or ""."""
    if path.is_dir():
        return f"{path} is a folder within a folder; open it itself"
    try:
        kind = _detect_type(path)
    except MaskletError as error:
        return error.message
    return "" if kind in IMAGE_TYPES | VIDEO_TYPES else f"{path} is {kind}"


def _describe(path: Path, name: str) -> Medium:
    """Describe an image or video by its header. Raises `MaskletError`."""
    if not path.is_dir() and _detect_type(path) in IMAGE_TYPES:
        size = read_size(path)
        if size is None:
            height, width, _ = read_image(path).shape
            size = height, width
        return Medium(name, "image", size)
    with open_video(path) as video:
        return Medium(name, "video", video.size, len(video), _measure_times(video.times))


def _detect_type(path: Path) -> str:
    with open_input(path) as handle:
        return detect_file_type(handle.read(HEAD_BYTES))


def _measure_times(times: tuple[float | None, ...]) -> tuple[float, float] | None:
    """Return the time of the first frame and the frames per second; None if they are not known."""
    known: Any = [time for time in (times[0], times[-1]) if time is not None]
    if len(known) < 2 or not known[1] > known[0]:
        return None
    return known[0], (len(times) - 1) / (known[1] - known[0])


def _check_size(path: Path, size: tuple[int, int], frames: int, entry: Medium) -> None:
    if size != entry.size or frames < entry.frames:
        now, then = f"{frames} frames of {size}", f"{entry.frames} frames of {entry.size}"
        message = f"{path} has {now}, but {then} when it was added to the project; restore it, or add it as a new file"
        raise VideoError("resolution-changed", message, path=str(path))


def _identify_media(project: Project) -> dict[Path, int]:
    """Return the numbers of the images and videos of a project by the identity of their files."""
    with project.lock:
        return {_identify(locate_medium(project, number)): number for number in project.document.media()}


def _identify(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _make_relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return path.absolute().as_posix()

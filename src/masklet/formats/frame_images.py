"""Frame images: the images of frames are copied, linked or encoded into the folders of formats."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import VideoError
from masklet.files.atomic import atomic_link, atomic_write, make_folder, remove_partial_files
from masklet.files.image_files import JPEG_SUFFIXES
from masklet.files.open_input import open_input
from masklet.formats.format import Clip
from masklet.images import read_image
from masklet.images.image_file import read_size
from masklet.masks.rle_frame import RleFrame

JPEG_QUALITY = 95
_MAX_GAP = 30  # frames that are decoded without need before the decoder seeks
_ENCODERS = {".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".dib": "BMP"}
_ORIENTATION = 274  # tag of EXIF

Progress = Callable[[int, int], object]
"""`progress(done, total)` in frames."""


class _Place(NamedTuple):
    """Where the image of a frame is written, its size (H, W), and whether its file is corrupt."""

    path: Path
    size: tuple[int, int]
    corrupt: bool


class ImageWriter:
    """Writes the images of the frames of one clip for several formats. Each file is written atomically.

    A format copies or links the images that another one has written, so that each frame is decoded once.
    """

    def __init__(self) -> None:
        self._written: list[tuple[Path, Clip]] = []

    def write(
        self,
        folder: Path,
        clip: Clip,
        frames: Iterable[RleFrame],
        *,
        skip_existing: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> None:
        """Write the images of frames.

        Args:
            folder: The folder to which the names in `clip.images` are relative.
            clip: The clip with its images.
            frames: The frames.
            skip_existing: Leave files that exist and are not truncated, which an interrupted call has written.
            progress: Called after each image.

        Raises:
            InputNotFound: An image file is missing.
            ImageError: An image cannot be decoded.
            VideoError: A frame cannot be decoded, or an image has another size than its masks.
            ResourceError: A file cannot be written.
        """
        assert clip.images, "the clip has images"
        target = folder / clip.images.layout.folder
        make_folder(target)
        remove_partial_files(target)
        places = {
            frame.index: _Place(folder / clip.image_name(frame.index), frame.size, frame.corrupt) for frame in frames
        }
        remaining: dict[int, _Place] = {}
        done = 0
        for index, place in places.items():
            if (skip_existing and _is_whole(place.path)) or self._take_file(index, place, clip):
                progress(done := done + 1, len(places))
            else:
                remaining[index] = place
        for index, image in _decode(clip, remaining):
            with atomic_write(remaining[index].path) as handle:
                _encode(handle, image, remaining[index].path.suffix)
            progress(done := done + 1, len(places))
        self._written.append((folder, clip))

    def _take_file(self, index: int, place: _Place, clip: Clip) -> bool:
        """Copy or link the image of a frame from a file that has it. Returns whether there is such a file."""
        for folder, other in self._written:
            source = folder / other.image_name(index)
            if source.suffix == place.path.suffix and source.is_file():
                _copy(source, place.path, link=_is_linked(clip))
                return True
        if clip.images and clip.images.files and not place.corrupt:
            source = clip.images.files[index]
            if _fits(source, place, upright=clip.images.mode in ("jpg", "png")):
                _copy(source, place.path, link=_is_linked(clip))
                return True
        return False


def _is_whole(path: Path) -> bool:
    """Return whether a file is an image that can be decoded completely."""
    try:
        with open_input(path) as handle, Image.open(handle) as image:
            image.load()
    except (OSError, ValueError, SyntaxError):
        return False
    return True


def _is_linked(clip: Clip) -> bool:
    return clip.images is not None and clip.images.mode == "link"


def _fits(source: Path, place: _Place, *, upright: bool) -> bool:
    """Return whether a file can be used as it is. With `upright`, only JPEG files without rotation can."""
    if not place.path.suffix or source.suffix.lower() != place.path.suffix.lower():
        return False
    if upright and not _is_upright_jpeg(source):
        return False
    return read_size(source) == place.size


def _is_upright_jpeg(source: Path) -> bool:
    if source.suffix.lower() not in JPEG_SUFFIXES:
        return False
    try:
        with open_input(source) as handle, Image.open(handle, formats=["JPEG"]) as image:
            return int(image.getexif().get(_ORIENTATION, 1)) == 1
    except (OSError, ValueError, SyntaxError):
        return False


def _copy(source: Path, target: Path, *, link: bool) -> None:
    """Copy or link a file. Nothing is done if both are the same file."""
    if target.exists() and target.samefile(source):
        return
    if link and atomic_link(source, target):
        return
    with open_input(source) as content, atomic_write(target) as handle:
        shutil.copyfileobj(content, handle)


def _decode(clip: Clip, places: Mapping[int, _Place]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the images of frames, decoded in order."""
    if clip.video is None:
        assert clip.images and clip.images.files, "images that are not those of a video have files"
        for index, place in places.items():
            image = read_image(clip.images.files[index])
            if image.shape[:2] != place.size:
                file = str(clip.images.files[index])
                message = f"{file} has size {image.shape[:2]}, its masks have {place.size}; restore the image"
                raise VideoError("resolution-changed", message, path=file, frame=index)
            yield index, image
        return
    for run in _split_runs(sorted(places)):
        wanted = set(run)
        for frame in clip.video.frames(range(run[0], run[-1] + 1)):
            if frame.index in wanted:
                wanted.remove(frame.index)
                yield frame.index, frame.image
        if wanted:
            raise VideoError("video-truncated", f"{clip.name}: frame {min(wanted)} cannot be decoded any more")


def _split_runs(indices: list[int]) -> Iterator[list[int]]:
    """Split ascending numbers where the gap is larger than `_MAX_GAP`."""
    run: list[int] = []
    for index in indices:
        if run and index - run[-1] > _MAX_GAP:
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _encode(handle: BinaryIO, image: NDArray[np.uint8], suffix: str) -> None:
    encoder = _ENCODERS.get(suffix.lower(), "JPEG")
    options: dict[str, dict[str, Any]] = {"JPEG": {"quality": JPEG_QUALITY}, "WEBP": {"lossless": True}}
    Image.fromarray(image).save(handle, encoder, **options.get(encoder, {}))

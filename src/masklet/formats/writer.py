"""Writer of masks: saves the masks of a video in one or several formats."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from masklet.errors import FormatError, SettingsError
from masklet.files.atomic import atomic_write, create_folder, remove_partial_files
from masklet.files.error_translation import translate_write_errors
from masklet.formats.format import (
    Clip,
    FileFormat,
    FolderFormat,
    Format,
    ObjectFilesFormat,
    check_formats,
    locate_images,
    name_frames,
)
from masklet.formats.frame_images import ImageWriter, Progress
from masklet.formats.image_layout import FrameImages, FrameMode, check_frame_mode
from masklet.formats.registry import find_formats
from masklet.jobs.frame_log import FrameLog
from masklet.masks.effects import WHITE, Background, check_background
from masklet.masks.rle_frame import RleFrame, collect_labels, encode_frame, list_object_ids
from masklet.masks.tracked_frame import TrackedFrame
from masklet.video.frame_folder import find_frame_files

if TYPE_CHECKING:
    from masklet.video import Video


class Output:
    """Output folder of a clip. Each file is written atomically. Methods raise `ResourceError`.

    Args:
        out: The folder.
        clip: The clip.
        frames: How images of the frames are written beside annotations. By default they are copied for the formats that
            require them, if the clip has a video or image files.

    Raises:
        SettingsError: `frames` is not a `FrameMode`.
    """

    def __init__(self, out: Path, clip: Clip, frames: FrameMode | None = None) -> None:
        check_frame_mode(frames)
        self._out, self._clip, self._frames, self._images = out, clip, frames, ImageWriter()
        self._sizes: dict[str, dict[Path, int]] = {}  # of the files that were written, by format

    def path_of(self, form: Format) -> Path:
        """Return the file or folder of a format."""
        return form.path_in(self._out)

    def images_of(self, form: Format) -> FrameImages | None:
        """Return the images that are written for a format; None if none are written."""
        has_source = self._clip.video is not None or bool(self._clip.files)
        if form.images is None or self._frames == "none" or not has_source:
            return None
        if self._frames is None and not form.images.is_required:
            return None
        return FrameImages(form.images, self._frames or "copy", self._clip.files)

    def write_images(
        self,
        form: Format,
        frames: Iterable[RleFrame],
        *,
        skip_existing: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> None:
        """Write the images of the frames beside the annotations of a format, if it has images.

        See `ImageWriter.write` for arguments and errors.
        """
        clip = self._clip_of(form)
        if clip.images:
            folder = locate_images(form, self._out)
            self._images.write(folder, clip, frames, skip_existing=skip_existing, progress=progress)

    def remove_images(self, form: Format, frames: Iterable[RleFrame], *, keep: Output) -> None:
        """Remove the images of the frames that `write_images` wrote, except those that `keep` writes too.

        Raises:
            ResourceError: A file cannot be removed.
        """
        folder, clip, other = locate_images(form, self._out), self._clip_of(form), keep._clip_of(form)
        for frame in frames:
            path = folder / clip.image_name(frame.index)
            if path != folder / other.image_name(frame.index):
                with translate_write_errors(path):
                    path.unlink(missing_ok=True)

    def prepare(self, form: FolderFormat) -> None:
        """Write the files that belong to no frame, and remove unfinished files of killed processes."""
        for folder in [self.path_of(form), *self.path_of(form).glob("*/")]:
            remove_partial_files(folder)
        self._write_all(form, form.encode_shared(self._clip_of(form)))

    def add(self, form: FolderFormat, frame: RleFrame) -> None:
        """Write the files of one frame."""
        self._write_all(form, form.encode_frame(frame, self._clip_of(form)))

    def has_lost_files(self, form: FolderFormat) -> bool:
        """Return whether files of a format were removed or truncated since this object wrote them."""
        return any(_size_of(path) != size for path, size in self._sizes.get(form.name, {}).items())

    def measure(self, form: Format) -> int | None:
        """Return the bytes of the file of a format, or of its files of all objects; None if one is missing."""
        files = [self.path_of(form)] if isinstance(form, FileFormat) else []
        if isinstance(form, ObjectFilesFormat):
            files = [form.file_of(object_id, self._out) for object_id in self._clip.object_ids]
        sizes = [_size_of(file) if file.is_file() else None for file in files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def restore(self, form: FolderFormat, frames: Iterable[RleFrame]) -> None:
        """Write the files of a format that are missing or differ from what `write` writes.

        The frames are sorted and may be iterated several times.
        """
        self._clip = replace(self._clip, labels={**self._clip.labels, **collect_labels(frames)})
        self._write_all(form, self._select_other(form, form.encode_shared(self._clip_of(form))))
        for frame in frames:
            self._write_all(form, self._select_other(form, form.encode_frame(frame, self._clip_of(form))))

    def _select_other(self, form: FolderFormat, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Select the files whose content is not on the disk."""
        return {
            name: content for name, content in files.items() if not _has_content(self.path_of(form) / name, content)
        }

    def write(self, form: Format, frames: Iterable[RleFrame]) -> None:
        """Write all files of a format except images, with the labels of the clip and of the frames.

        The frames are sorted and may be iterated several times.
        """
        self._clip = replace(self._clip, labels={**self._clip.labels, **collect_labels(frames)})
        if isinstance(form, FolderFormat):
            self.prepare(form)
            for frame in frames:
                self.add(form, frame)
            return
        if isinstance(form, ObjectFilesFormat):
            _make_folder(self.path_of(form))
            remove_partial_files(self.path_of(form))
            form.write(lambda object_id: atomic_write(form.file_of(object_id, self._out)), frames, self._clip)
            return
        _make_folder(self._out)
        remove_partial_files(self._out)
        with atomic_write(self.path_of(form)) as handle:
            form.write(handle, frames, self._clip_of(form))

    def _clip_of(self, form: Format) -> Clip:
        return replace(self._clip, images=self.images_of(form))

    def _write_all(self, form: FolderFormat, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            path = self.path_of(form) / name
            _make_folder(path.parent)
            with atomic_write(path) as handle:
                handle.write(content)
            self._sizes.setdefault(form.name, {})[path] = len(content)


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def save_masks(
    frames: Iterable[TrackedFrame],
    out: str | Path,
    formats: Sequence[str],
    *,
    video: Video | None = None,
    path: str | Path | None = None,
    background: str | Background = WHITE,
    images: FrameMode | None = None,
) -> list[Path]:
    """Save tracked frames in one or several formats.

    Args:
        frames: Tracked frames, in any order.
        out: Folder to write to. Existing files are overwritten.
        formats: Names of formats, see `FORMATS`.
        video: The video, for formats that show its images.
        path: The video file, from which overlays and effects take frame times and audio, or the folder of images that
            are its frames, after which files are named.
        background: What the format `background` shows behind the objects: a color (its CSS name or RGB values), or an
            image (h, w, 3) uint8, scaled and cropped to cover the frames.
        images: Write the images of the frames beside `labelme`, `yolo`, `coco`, `ytvis` and `cvat`: "copy" or "link"
            the image files, if `path` is a folder of images, or encode them as "jpg" or "png", or "none". By default
            they are copied for `labelme` and `yolo` if there is a video or a folder of images.

    Returns:
        The file or folder of each format.

    Raises:
        FormatError: There are no frames, a frame is there twice, its time is not finite, an item is no `TrackedFrame`,
            or an object id does not fit into the format.
        SettingsError: A format is unknown, or it or `images` needs the video, or the background is invalid.
        VideoError: A frame whose image is written cannot be decoded.
        ResourceError: A file cannot be written.
    """
    forms = find_formats(formats)
    if video is None and (with_images := [form.name for form in forms if form.shows_images]):
        raise SettingsError("bad-usage", f"format {with_images[0]!r} shows images; pass the video")
    check_formats(forms, video)
    source, behind = None if path is None else Path(path), check_background(background)
    check_frame_mode(images)
    files = None if source is None else find_frame_files(str(source))
    if images not in (None, "none") and video is None and files is None:
        raise SettingsError("bad-usage", f"images={images!r} writes the images of the frames; pass the video")
    with tempfile.TemporaryDirectory(prefix="masklet-") as folder, FrameLog(Path(folder), {}) as log:
        for frame in frames:
            _check_frame(frame, log)
            log.append(encode_frame(frame, with_edges=any(form.shows_edges for form in forms)))
        first = next(iter(log), None)
        if first is None:
            raise FormatError("annotation-broken", "there are no frames to save")
        object_ids, labels = tuple(list_object_ids(log)), collect_labels(log)
        name = source.stem if source else "video"
        clip = Clip(
            name, first.size, object_ids, video, source, name_frames(files), labels, background=behind, files=files
        )
        output = Output(Path(out), clip, images)
        for form in forms:
            output.write_images(form, log)
            output.write(form, log)
    return [output.path_of(form) for form in forms]


def _check_frame(frame: object, log: FrameLog) -> None:
    """Raise `FormatError` for a frame that cannot be saved beside those in the log."""
    if not isinstance(frame, TrackedFrame):
        fault = f"a {type(frame).__name__} is no frame; pass masklet.TrackedFrame(index, time, masks)"
    elif frame.index in log:
        fault = f"frame {frame.index} is there twice; pass each frame once"
    elif frame.time is not None and not math.isfinite(frame.time):
        fault = f"frame {frame.index} has the time {frame.time}; pass None if it is unknown"
    else:
        return
    raise FormatError("annotation-broken", fault)


def _make_folder(folder: Path) -> None:
    with translate_write_errors(folder):
        create_folder(folder)

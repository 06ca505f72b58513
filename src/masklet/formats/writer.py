"""Writer of masks: saves the masks of a video in one or several formats."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from masklet.errors import FormatError, SettingsError
from masklet.files.atomic import atomic_write, remove_partial_files
from masklet.files.error_translation import translate_write_errors
from masklet.formats.format import Clip, FileFormat, FolderFormat, Format
from masklet.formats.registry import find_formats
from masklet.jobs.frame_log import FrameLog
from masklet.masks.effects import WHITE, Background, check_background
from masklet.masks.rle_frame import RleFrame, collect_labels, encode_frame, list_object_ids
from masklet.masks.tracked_frame import TrackedFrame

if TYPE_CHECKING:
    from masklet.video import Video


class Output:
    """Output folder of a clip. Each file is written atomically. Methods raise `ResourceError`."""

    def __init__(self, out: Path, clip: Clip) -> None:
        self._out, self._clip = out, clip

    def path_of(self, form: Format) -> Path:
        """Return the file or folder of a format."""
        return form.path_in(self._out)

    def prepare(self, form: FolderFormat) -> None:
        """Write the files that belong to no frame, and remove unfinished files of killed processes."""
        for folder in [self.path_of(form), *self.path_of(form).glob("*/")]:
            remove_partial_files(folder)
        self._write_all(form, form.encode_shared(self._clip))

    def add(self, form: FolderFormat, frame: RleFrame) -> None:
        """Write the files of one frame."""
        self._write_all(form, form.encode_frame(frame, self._clip))

    def write(self, form: Format, frames: Iterable[RleFrame]) -> None:
        """Write all files of a format, with the labels of the clip and of the frames.

        The frames are sorted and may be iterated several times.
        """
        self._clip = replace(self._clip, labels={**self._clip.labels, **collect_labels(frames)})
        if isinstance(form, FolderFormat):
            self.prepare(form)
            for frame in frames:
                self.add(form, frame)
            return
        _make_folder(self._out)
        remove_partial_files(self._out)
        with atomic_write(self.path_of(form)) as handle:
            form.write(handle, frames, self._clip)

    def _write_all(self, form: FolderFormat, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            path = self.path_of(form) / name
            _make_folder(path.parent)
            with atomic_write(path) as handle:
                handle.write(content)


def save_masks(
    frames: Iterable[TrackedFrame],
    out: str | Path,
    formats: Sequence[str],
    *,
    video: Video | None = None,
    path: str | Path | None = None,
    background: str | Background = WHITE,
) -> list[Path]:
    """Save tracked frames in one or several formats.

    Args:
        frames: Tracked frames, in any order.
        out: Folder to write to. Existing files are overwritten.
        formats: Names of formats, see `FORMATS`.
        video: The video, for formats that show its images.
        path: The video file, from which overlays and effects take frame times and audio.
        background: What the format `background` shows behind the objects: a color (its CSS name or RGB values), or an
            image (h, w, 3) uint8, scaled and cropped to cover the frames.

    Returns:
        The file or folder of each format.

    Raises:
        FormatError: There are no frames, or an object id does not fit into the format.
        SettingsError: A format is unknown, or needs the video, or the background is invalid.
        ResourceError: A file cannot be written.
    """
    forms = find_formats(formats)
    if video is None and (
        with_images := [form.name for form in forms if isinstance(form, FileFormat) and form.shows_images]
    ):
        raise SettingsError("bad-usage", f"format {with_images[0]!r} shows images; pass the video")
    source, behind = None if path is None else Path(path), check_background(background)
    with tempfile.TemporaryDirectory(prefix="masklet-") as folder, FrameLog(Path(folder), {}) as log:
        for frame in frames:
            log.append(encode_frame(frame))
        first = next(iter(log), None)
        if first is None:
            raise FormatError("annotation-broken", "there are no frames to save")
        object_ids, labels = tuple(list_object_ids(log)), collect_labels(log)
        name = source.stem if source else "video"
        clip = Clip(name, first.size, object_ids, video, source, labels=labels, background=behind)
        output = Output(Path(out), clip)
        for form in forms:
            output.write(form, log)
    return [output.path_of(form) for form in forms]


def _make_folder(folder: Path) -> None:
    with translate_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)

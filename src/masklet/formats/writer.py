"""Write the masks of a video into a folder, in one or several formats."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from masklet.errors import FormatError, SettingsError
from masklet.files.atomic import atomic_write, remove_leftovers
from masklet.files.translate import translate_write_errors
from masklet.formats.format import Clip, FileFormat, FolderFormat, Format
from masklet.formats.registry import named
from masklet.jobs.frame_log import Journal
from masklet.masks.rle_frame import CodedFrame, coded, objects
from masklet.masks.tracked_frame import TrackedFrame

if TYPE_CHECKING:
    from masklet.video import Video


class Output:
    """Files of a clip in the folder `out`, each of which appears whole or not at all. Raises `ResourceError`."""

    def __init__(self, out: Path, clip: Clip) -> None:
        self._out, self._clip = out, clip

    def place(self, form: Format) -> Path:
        """The file or the folder of a format."""
        return form.place(self._out)

    def prepare(self, form: FolderFormat) -> None:
        """Write what belongs to no frame, and remove what killed processes left unfinished."""
        for folder in [self.place(form), *self.place(form).glob("*/")]:
            remove_leftovers(folder)
        self._write_all(form, form.shared(self._clip))

    def add(self, form: FolderFormat, frame: CodedFrame) -> None:
        """Write a frame's own files."""
        self._write_all(form, form.files(frame, self._clip))

    def write(self, form: Format, frames: Iterable[CodedFrame]) -> None:
        """Write all of a format; the frames, sorted, may be gone through several times."""
        if isinstance(form, FolderFormat):
            self.prepare(form)
            for frame in frames:
                self.add(form, frame)
            return
        _make(self._out)
        remove_leftovers(self._out)
        with atomic_write(self.place(form)) as handle:
            form.write(handle, frames, self._clip)

    def _write_all(self, form: FolderFormat, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            path = self.place(form) / name
            _make(path.parent)
            with atomic_write(path) as handle:
                handle.write(content)


def save(
    frames: Iterable[TrackedFrame],
    out: str | Path,
    formats: Sequence[str],
    *,
    video: Video | None = None,
    path: str | Path | None = None,
) -> list[Path]:
    """Write tracked frames, in any order, into the folder `out`; returns the file or the folder of each format.

    Names of formats are those of `FORMATS`. Formats that show pictures need the `video`; overlays take their times and
    sound from the file at `path`. What is there is written over. Raises `FormatError` where there are no frames or an
    object's id does not fit, `SettingsError` for unknown formats and a missing video, `ResourceError`.
    """
    forms = named(formats)
    if video is None and (showing := [form.name for form in forms if isinstance(form, FileFormat) and form.pictures]):
        raise SettingsError("bad-usage", f"format {showing[0]!r} shows pictures; pass the video")
    source = None if path is None else Path(path)
    with tempfile.TemporaryDirectory(prefix="masklet-") as spool, Journal(Path(spool), {}) as journal:
        for frame in frames:
            journal.append(coded(frame))
        first = next(iter(journal), None)
        if first is None:
            raise FormatError("annotation-broken", "there are no frames to save")
        clip = Clip(source.stem if source else "video", first.size, tuple(objects(journal)), video, source)
        output = Output(Path(out), clip)
        for form in forms:
            output.write(form, journal)
    return [output.place(form) for form in forms]


def _make(folder: Path) -> None:
    with translate_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)

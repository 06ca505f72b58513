"""Live output: masks of a live video in every format, written to disk frame by frame."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from masklet.cli import console
from masklet.cli.options import check_free
from masklet.errors import SettingsError
from masklet.formats import Clip, FolderFormat, Format, Output
from masklet.formats.format import check_formats
from masklet.formats.job_folder import FOLDER, list_new_folders, remove_job
from masklet.jobs.frame_log import FILE_NAME, FrameLog
from masklet.masks.rle_frame import RleFrame, collect_labels


class MaskWriter:
    """Writes the masks of a live video to the folder `out`.

    Each frame is appended to a log and to the formats that are folders; formats that are files are written from the
    log at the end. An earlier session in `out` is removed.

    Args:
        out: The folder.
        formats: The formats to write.
        video: The camera, which has a name and the size of the frames.
        object_ids: The objects that have prompts in advance.
        labels: Their labels by object id.
    """

    def __init__(
        self, out: Path, formats: Sequence[Format], video: Any, object_ids: Sequence[int], labels: Mapping[int, str]
    ) -> None:
        self._formats, self._name, self._size = formats, "webcam", video.size
        self._out, self._known, self._labels = out, [*object_ids], dict(labels)
        self._first = self._clip()
        remove_job(out)
        self._log = FrameLog(out / FOLDER, {"camera": video.name, "begun": time.time()})
        self._log.add_note(formats=[form.name for form in formats], created=list_new_folders(formats, out))
        self._output = Output(out, self._clip())
        for form in self._live():
            self._output.prepare(form)

    @property
    def files(self) -> dict[str, str]:
        """The path of each format by name."""
        return {form.name: str(self._output.path_of(form)) for form in self._formats}

    def add(self, frame: RleFrame) -> None:
        """Append a frame. It is on disk when this returns."""
        known = [*dict.fromkeys([*self._known, *frame.object_ids])]
        labels = {**self._labels, **collect_labels([frame])}
        if (known, labels) != (self._known, self._labels):
            self._known, self._labels = known, labels
            self._output = Output(self._out, self._clip())
        for form in self._live():
            self._output.add(form, frame)
        self._log.append(frame)

    def finish(self) -> None:
        """Write the formats that are files, and all formats again if objects or labels were added."""
        with self._log:
            for form in self._formats if len(self._log) else ():
                if not isinstance(form, FolderFormat) or self._clip() != self._first:
                    console.say(f"writing {self._output.path_of(form)}")
                    self._output.write(form, self._log)

    def _live(self) -> list[FolderFormat]:
        return [form for form in self._formats if isinstance(form, FolderFormat)]

    def _clip(self) -> Clip:
        return Clip(self._name, self._size, tuple(sorted(self._known)), labels=self._labels)


def check_outputs(out: Path | None, formats: Sequence[Format], record: Path | None, *, overwrite: bool) -> None:
    """Check the output before the camera is opened.

    Raises:
        SettingsError: A format shows the frames themselves, which a camera delivers only once.
        ResourceError: An output exists and `overwrite` is not set.
    """
    check_formats(formats, None)
    for form in formats:
        if form.shows_images:
            message = f"format {form.name!r} needs the frames again, which a camera delivers once; use --record FILE"
            raise SettingsError("bad-usage", message)
    places = [*(form.path_in(out) for form in formats), out / FOLDER / FILE_NAME] if out else []
    check_free([*places, *([record] if record else [])], overwrite=overwrite)

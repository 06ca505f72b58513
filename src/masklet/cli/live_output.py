"""What is kept of a live picture: a recording, and masks in every format, safe on the disk frame by frame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.cli import console
from masklet.cli.overwrite import FOLDER, clear, created_by
from masklet.errors import ResourceError, SettingsError
from masklet.files.outputs import output_exists
from masklet.files.translate import translate_write_errors
from masklet.formats import Clip, FileFormat, FolderFormat, Format, Output
from masklet.formats.video_encoder import H264_LIVE, Timing, VideoEncoder
from masklet.jobs.frame_log import NAME, Journal
from masklet.masks.rle_frame import CodedFrame

_TICK, _RATE = Fraction(1, 90_000), Fraction(30)


class Recording:
    """Pictures as a video file that can be played at any moment, even if the program dies."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.path = path
        self._start: float | None = None
        with translate_write_errors(path):
            self._file = path.open("wb")
        self._encoder = VideoEncoder(self._file, H264_LIVE, size, Timing(_TICK, _RATE))

    def add(self, picture: NDArray[np.uint8], seconds: float) -> None:
        """The next picture (H, W, 3) uint8 RGB, at its time; the first one begins the file."""
        self._start = seconds if self._start is None else self._start
        with translate_write_errors(self.path):
            self._encoder.add(picture, round((seconds - self._start) / _TICK))
            self._file.flush()

    def close(self) -> None:
        """Write the end of the file."""
        with translate_write_errors(self.path), self._file:
            self._encoder.close()


class KeptMasks:
    """The masks of a live picture in the folder `out`: a journal, folders that grow with it, and files made of it at
    the end. An earlier session that is there is removed. `object_ids` are the objects that are known to come."""

    def __init__(self, out: Path, formats: Sequence[Format], video: Any, object_ids: Sequence[int]) -> None:
        self._formats, self._name, self._size = formats, "webcam", video.size
        self._out, self._known, self._first = out, [*object_ids], [*object_ids]
        clear(out)
        self._journal = Journal(out / FOLDER, {"camera": video.name, "begun": time.time()})
        self._journal.note(formats=[form.name for form in formats], created=created_by(formats, out))
        self._output = Output(out, self._clip())
        for form in self._live():
            self._output.prepare(form)

    @property
    def files(self) -> dict[str, str]:
        """Where each format is."""
        return {form.name: str(self._output.place(form)) for form in self._formats}

    def add(self, frame: CodedFrame) -> None:
        """A frame; when this returns it is on the disk."""
        if fresh := [object_id for object_id in frame.object_ids if object_id not in self._known]:
            self._known += fresh
            self._output = Output(self._out, self._clip())
        for form in self._live():
            self._output.add(form, frame)
        self._journal.append(frame)

    def finish(self) -> None:
        """Write what is made of all frames. Formats that tell of every object on every frame are written again if
        objects came later."""
        with self._journal:
            for form in self._formats if len(self._journal) else ():
                if isinstance(form, FileFormat) or self._known != self._first:
                    console.say(f"writing {self._output.place(form)}")
                    self._output.write(form, self._journal)

    def _live(self) -> list[FolderFormat]:
        return [form for form in self._formats if isinstance(form, FolderFormat)]

    def _clip(self) -> Clip:
        return Clip(self._name, self._size, tuple(sorted(self._known)))


def check_free(out: Path | None, formats: Sequence[Format], record: Path | None, *, overwrite: bool) -> None:
    """Raises `ResourceError` (`output-exists`) where something is in the way that the user has not said to replace;
    `SettingsError` for formats that show pictures, which a camera does not give twice."""
    for form in formats:
        if isinstance(form, FileFormat) and form.pictures:
            message = f"format {form.name!r} shows pictures, which a camera gives only once; --record FILE keeps them"
            raise SettingsError("bad-usage", message)
    places = [*(form.place(out) for form in formats), out / FOLDER / NAME] if out else []
    for place in [*places, *([record] if record else [])]:
        if output_exists(place) and not overwrite:
            hint = "--overwrite replaces it; or write elsewhere"
            raise ResourceError("output-exists", f"{place} exists", hint=hint)

"""Frame log of a job: an append-only file of finished frames, which stays readable if the process is killed.

Each line is a checksum and a JSON text. The first line describes the job; each further line is a frame or a note, or
describes the job anew if it was extended, after which it is as if no output had been written. An
incomplete line, which a kill may leave at the end, is cut off at the next start. One process at a time may have the log
open.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from masklet.errors import FormatError, ResourceError, StateError
from masklet.files.atomic import create_folder, sync_folder
from masklet.files.error_translation import translate_write_errors
from masklet.files.hashing import sha256
from masklet.files.lock import Lock
from masklet.jobs.resume import TrackerStates
from masklet.masks.object_detection import ObjectDetection
from masklet.masks.rle_frame import RleFrame

VERSION = 1
_MAX_FLOAT = 2.0**127  # of a float32
FILE_NAME = "journal.jsonl"
_FRAME = re.compile(rb'\{"frame": (\d{1,18}), ')
_CHECKSUM = 9  # characters: eight hexadecimal digits and a space
_MAX_LINE_BYTES = 1 << 28  # of a frame; masks of 256 objects in 100 megapixels have less
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)  # errors of parsing a record

JobDescription = Mapping[str, Any]
"""All settings and inputs that a job's masks depend on, as JSON values."""


class FrameLog:
    """Log of the finished frames of the job in a folder. Iteration is by frame number.

    Args:
        folder: The folder, which is made if it does not exist. If it has a log, that is continued.
        job: Description of the job.
        extends: Returns for the description in the log and a new one whether the new job begins with the frames of the
            first, in the same order and with the same masks. Then the log continues as that of the new job. By default
            no job extends another.

    Attributes:
        path: The file.
        notes: The notes, in the order in which they were added.

    Raises:
        StateError: `resume-mismatch`: the log is of another job. `job-locked`: another process has it open.
        FormatError: `session-broken`: the file is not a frame log.
        ResourceError: The log cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        job: JobDescription,
        *,
        extends: Callable[[JobDescription, JobDescription], bool] = lambda was, now: False,
    ) -> None:
        self.path = folder / FILE_NAME
        self._described: Mapping[str, Any] = {}  # the last line that describes the job
        self.notes: list[dict[str, Any]] = []
        self._lines: dict[int, tuple[int, int]] = {}  # offset and length of each frame's line
        with ExitStack() as opened, translate_write_errors(self.path):
            create_folder(folder)
            opened.callback(Lock(folder / "lock").release)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            opened.callback(os.close, self._descriptor)
            _require_file(self.path, os.fstat(self._descriptor).st_mode)
            self._end = self._recover(job, extends)
            self._opened = opened.pop_all()  # a failure before this line closes everything again

    def append(self, frame: RleFrame) -> None:
        """Append a finished frame, and return when it is on the disk. After an error the log is as before.

        Raises:
            ResourceError: The log cannot be written.
        """
        assert frame.index not in self._lines, f"frame {frame.index} is finished already"
        start = self._end
        length = self._write(_frame_to_record(frame))
        self._lines[frame.index] = (start, length)

    def revise(self, frame: RleFrame) -> None:
        """Replace a finished frame, by a line that is read in place of the earlier one.

        Raises:
            ResourceError: The log cannot be written.
        """
        del self._lines[frame.index]
        self.append(frame)

    def add_note(self, **values: Any) -> None:
        """Append a note, JSON values by name, to the file and to `notes`."""
        self._write({"note": values})
        self.notes.append(values)

    def close(self) -> None:
        """Close the file and release its lock."""
        self._opened.close()

    def __contains__(self, index: int) -> bool:
        return index in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[RleFrame]:
        return self.read(sorted(self._lines))

    def read(self, indices: Iterable[int]) -> Iterator[RleFrame]:
        """Read finished frames by their numbers. Raises `FormatError` for a frame that masklet did not write."""
        for index in indices:
            start, length = self._lines[index]
            record = _check_line(self._read_bytes(start, length), self.path)
            try:
                yield _record_to_frame(record or {})
            except _MALFORMED as cause:
                raise _broken_error(self.path, f"frame {index}") from cause

    def _read_bytes(self, start: int, length: int) -> bytes:
        """Read from the open file, which may have been moved or removed."""
        os.lseek(self._descriptor, start, os.SEEK_SET)
        data = b""
        while len(data) < length and (part := os.read(self._descriptor, length - len(data))):
            data += part
        return data

    def __enter__(self) -> FrameLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _recover(self, job: JobDescription, extends: Callable[[JobDescription, JobDescription], bool]) -> int:
        """Read the complete lines, cut off what follows them, and return the offset of the next line."""
        self._end = 0
        with open(self._descriptor, "rb", closefd=False) as file:
            for line in _read_lines(file):
                record = _check_line(line, self.path)
                if record is None:
                    break
                try:
                    self._read_line(line, record)
                except _MALFORMED as cause:
                    raise _broken_error(self.path, f"the line at byte {self._end}") from cause
                self._end += len(line)
        is_extended = bool(self._end) and self._check_job(job, extends)
        with translate_write_errors(self.path):
            os.ftruncate(self._descriptor, self._end)
        if is_extended:
            TrackerStates(self.path.parent).clear()  # they lack the memories that only the new frames recall
            self.notes = _drop_written(self.notes)
        if is_extended or not self._end:
            self._write({"masklet": VERSION, "identity": _hash_description(job), "job": job})
            sync_folder(self.path.parent)
        return self._end

    def _check_job(self, job: JobDescription, extends: Callable[[JobDescription, JobDescription], bool]) -> bool:
        """Return whether the job extends that of the log. Raises `StateError` if it is a third one."""
        version, identity, was = (self._described[name] for name in ("masklet", "identity", "job"))
        if (version, identity) == (VERSION, _hash_description(job)):
            return False
        now = json.loads(json.dumps(job))
        if version != VERSION or not isinstance(was, dict) or not extends(was, now):
            raise _mismatch_error(self.path, was, now)
        return True

    def _read_line(self, line: bytes, record: Mapping[str, Any]) -> None:
        if not self._end and "masklet" not in record:
            raise ValueError("the first line does not describe a job")
        if match := _FRAME.match(line, _CHECKSUM):
            self._lines[int(match[1])] = (self._end, len(line))
        elif "note" in record:
            self.notes.append(_check_note(record["note"]))
        else:
            self._described = {name: record[name] for name in ("masklet", "identity", "job")}
            self.notes = _drop_written(self.notes)

    def _write(self, record: Mapping[str, Any]) -> int:
        text = json.dumps(record, allow_nan=False).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        try:
            with translate_write_errors(self.path, len(line)):
                os.lseek(self._descriptor, self._end, os.SEEK_SET)
                _write_all(self._descriptor, line)
                os.fsync(self._descriptor)
        except ResourceError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(line)
        return len(line)


def read_notes(folder: Path) -> list[dict[str, Any]]:
    """Read the notes of the log in a folder, whichever job it is of. Raises `ResourceError`."""
    path, notes = folder / FILE_NAME, []
    with translate_write_errors(path):
        _require_file(path, path.stat().st_mode)
        with path.open("rb") as file:
            for line in _read_lines(file):
                with contextlib.suppress(FormatError, *_MALFORMED):  # the log is of another program
                    record = {} if _FRAME.match(line, _CHECKSUM) else _check_line(line, path)
                    notes += [_check_note(record["note"])] if record and "note" in record else []
    return notes


def _read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Read the complete lines, up to the first one that is longer than any that masklet writes."""
    while (line := file.readline(_MAX_LINE_BYTES)).endswith(b"\n"):
        yield line


def _require_file(path: Path, mode: int) -> None:
    """Raise `ResourceError` for a pipe or a device, which reading would block on."""
    if not stat.S_ISREG(mode):
        message = f"{path} is not a regular file; move it away or choose another folder"
        raise ResourceError("output-unwritable", message)


def _check_note(note: Any) -> dict[str, Any]:
    if not isinstance(note, dict) or not isinstance(note.get("live", []), list):
        raise ValueError("a note is malformed")
    return note


def _drop_written(notes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the notes that outputs are complete, which hold for the frames of the job before it was extended."""
    return [note for note in notes if not {"wrote", "bytes", "settled"} & note.keys()]


def _hash_description(job: JobDescription) -> str:
    """Return the SHA-256 of a job's description."""
    return sha256(json.dumps(job, sort_keys=True).encode())


def _frame_to_record(frame: RleFrame) -> dict[str, Any]:
    return {
        "frame": frame.index,
        "time": frame.time,
        "size": frame.size,
        "object_ids": frame.object_ids,
        "scores": frame.scores,
        "object_scores": frame.object_scores,
        "counts": frame.counts,
        "corrupt": frame.corrupt,
        **({"labels": frame.labels} if any(frame.labels) else {}),
        **({"detections": frame.detections} if frame.detections else {}),
        **({"edges": frame.edges} if any(frame.edges) else {}),
    }


def _record_to_frame(record: Mapping[str, Any]) -> RleFrame:
    height, width = (_check_number(side) for side in record["size"])
    object_ids = tuple(_check_number(number) for number in record["object_ids"])
    columns = {name: record[name] for name in ("scores", "object_scores", "counts")}
    columns |= {name: record[name] for name in ("labels", "edges") if record.get(name)}
    if any(not isinstance(values, list) or len(values) != len(object_ids) for values in columns.values()):
        raise ValueError("the columns of a frame have different lengths")
    return RleFrame(
        index=_check_number(record["frame"]),
        time=None if record["time"] is None else _check_finite(record["time"]),
        size=(height, width),
        object_ids=object_ids,
        scores=tuple(map(_check_finite, columns["scores"])),
        object_scores=tuple(map(_check_finite, columns["object_scores"])),
        counts=tuple(map(_check_text, columns["counts"])),
        corrupt=bool(record["corrupt"]),
        detections=tuple(map(_read_detection, record.get("detections", ()))),
        labels=tuple(map(_check_optional_text, columns.get("labels", ()))),
        edges=tuple(map(_check_optional_text, columns.get("edges", ()))),
    )


def _read_detection(record: Any) -> ObjectDetection:
    object_id, label, score, (x0, y0, x1, y1) = record
    box = (_check_finite(x0), _check_finite(y0), _check_finite(x1), _check_finite(y1))
    return ObjectDetection(_check_number(object_id), _check_text(label), _check_finite(score), box)


def _check_number(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r:.60} is not a number")
    return value


def _check_finite(value: Any) -> float:
    if isinstance(value, str) or not abs(value) < _MAX_FLOAT:  # true for NaN
        raise ValueError(f"{value!r:.60} is not a finite number")
    return float(value)


def _check_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is not text")
    return value


def _check_optional_text(value: Any) -> str | None:
    return None if value is None else _check_text(value)


def _check_line(line: bytes, path: Path) -> dict[str, Any] | None:
    """Return the record of a line, or None if its checksum is wrong. Raises `FormatError` if it is no record."""
    text = line[_CHECKSUM:-1]
    if line[:_CHECKSUM] != b"%08x " % zlib.crc32(text):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise _broken_error(path, "a line") from cause
    if not isinstance(record, dict):
        raise _broken_error(path, "a line")
    return record


def _broken_error(path: Path, part: str) -> FormatError:
    message = f"{path} is not a frame log of masklet: {part} cannot be read; use another folder"
    return FormatError("session-broken", message, hint="--overwrite starts again, --out writes elsewhere")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _mismatch_error(path: Path, was: Any, now: Any) -> StateError:
    differences = dict(_compare(was, now, ""))
    listed = "; ".join(f"{name} was {old!r:.60}, is {new!r:.60}" for name, (old, new) in [*differences.items()][:3])
    more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
    listed = f"{listed or 'it is of another version of masklet'}{more}"
    message = f"{path.parent} contains another job: {listed}; use another folder"
    return StateError("resume-mismatch", message, differences=differences)


def _compare(was: Any, now: Any, name: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield the differences of two JSON values by dotted name."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted({*was, *now}):
            yield from _compare(was.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif was != now:
        yield name, (was, now)

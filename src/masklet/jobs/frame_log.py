"""Frame log of a job: an append-only file of finished frames, which stays readable if the process is killed.

Each line is a checksum and a JSON text. The first line describes the job; each further line is a frame or a note. An
incomplete line, which a kill may leave at the end, is cut off at the next start. One process at a time may have the log
open.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from masklet.errors import ResourceError, StateError
from masklet.files.atomic import sync_folder
from masklet.files.error_translation import translate_write_errors
from masklet.files.hashing import sha256
from masklet.files.lock import Lock
from masklet.masks.rle_frame import RleFrame

VERSION = 1
FILE_NAME = "journal.jsonl"
_FRAME = re.compile(rb'\{"frame": (\d+), ')
_CHECKSUM = 9  # characters: eight hexadecimal digits and a space

JobDescription = Mapping[str, Any]
"""All settings and inputs that a job's masks depend on, as JSON values."""


class FrameLog:
    """Log of the finished frames of the job in a folder. Iteration is by frame number.

    Args:
        folder: The folder, which is made if it does not exist. If it has a log, that is continued.
        job: Description of the job.

    Attributes:
        path: The file.
        notes: The notes, in the order in which they were added.

    Raises:
        StateError: `resume-mismatch`: the log is of another job. `job-locked`: another process has it open.
        ResourceError: The log cannot be written.
    """

    def __init__(self, folder: Path, job: JobDescription) -> None:
        self.path = folder / FILE_NAME
        self.notes: list[dict[str, Any]] = []
        self._lines: dict[int, tuple[int, int]] = {}  # offset and length of each frame's line
        with ExitStack() as opened, translate_write_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            opened.callback(Lock(folder / "lock").release)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            opened.callback(os.close, self._descriptor)
            self._end = self._recover(job)
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
        """Read finished frames by their numbers."""
        with self.path.open("rb") as file:
            for index in indices:
                start, length = self._lines[index]
                file.seek(start)
                yield _record_to_frame(_check_line(file.read(length)) or {})

    def __enter__(self) -> FrameLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _recover(self, job: JobDescription) -> int:
        """Read the complete lines, cut off what follows them, and return the offset of the next line."""
        self._end = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n") or _check_line(line) is None:
                    break
                self._read_line(line, job)
                self._end += len(line)
        with translate_write_errors(self.path):
            os.ftruncate(self._descriptor, self._end)
        if not self._end:
            self._write({"masklet": VERSION, "identity": _hash_description(job), "job": job})
            sync_folder(self.path.parent)
        return self._end

    def _read_line(self, line: bytes, job: JobDescription) -> None:
        if match := _FRAME.match(line, _CHECKSUM):
            self._lines[int(match[1])] = (self._end, len(line))
            return
        record = _check_line(line)
        assert record is not None, "the line was checked"
        if "note" in record:
            self.notes.append(record["note"])
        elif (record["masklet"], record["identity"]) != (VERSION, _hash_description(job)):
            raise _mismatch_error(self.path, record["job"], json.loads(json.dumps(job)))

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
    with translate_write_errors(folder / FILE_NAME), (folder / FILE_NAME).open("rb") as file:
        records = (_check_line(line) for line in file if not _FRAME.match(line, _CHECKSUM))
        return [record["note"] for record in records if record and "note" in record]


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
    }


def _record_to_frame(record: Mapping[str, Any]) -> RleFrame:
    height, width = record["size"]
    return RleFrame(
        index=record["frame"],
        time=record["time"],
        size=(height, width),
        object_ids=tuple(record["object_ids"]),
        scores=tuple(record["scores"]),
        object_scores=tuple(record["object_scores"]),
        counts=tuple(record["counts"]),
        corrupt=record["corrupt"],
        labels=tuple(record.get("labels", ())),
    )


def _check_line(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, or None if its checksum is wrong."""
    text = line[_CHECKSUM:-1]
    if line[:_CHECKSUM] != b"%08x " % zlib.crc32(text):
        return None
    record: dict[str, Any] = json.loads(text)
    return record


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

"""Which frames of a job are finished, and their masks: an append-only file that survives being killed at any moment.

The file has one JSON text per line behind its checksum. The first line says what job it is; each further one is a
frame, or a note. A line counts once it is whole and on the disk; what a kill left behind it is cut off at the next
start. One process at a time may hold a journal.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from masklet.errors import ResourceError, StateError
from masklet.files.atomic import sync_folder
from masklet.files.hashing import sha256
from masklet.files.lock import Lock
from masklet.files.translate import translate_write_errors
from masklet.masks.rle_frame import RleFrame

VERSION = 1
FILE_NAME = "journal.jsonl"
_FRAME = re.compile(rb'\{"frame": (\d+), ')
_CHECKSUM = 9  # characters: eight hexadecimal digits and a space

JobDescription = Mapping[str, Any]  # whatever decides the masks, as JSON


class FrameLog:
    """The finished frames of the job in `folder`, sorted by frame when they are gone through.

    A new journal is started where there is none; one that is there is gone on with if it is of the same `job`. Raises
    `StateError`: `resume-mismatch` for another job's journal, `job-locked` while another process holds it;
    `ResourceError` where it cannot be written.
    """

    def __init__(self, folder: Path, job: JobDescription) -> None:
        self.path = folder / FILE_NAME
        self.notes: list[dict[str, Any]] = []
        self._places: dict[int, tuple[int, int]] = {}  # of each frame: where its line starts, and its length
        with ExitStack() as opened, translate_write_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            opened.callback(Lock(folder / "lock").release)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            opened.callback(os.close, self._descriptor)
            self._end = self._recovered(job)
            self._opened = opened.pop_all()  # until here, whatever fails closes all again

    def append(self, frame: RleFrame) -> None:
        """A frame is finished. When this returns it is on the disk. Raises `ResourceError` and stays as it was."""
        assert frame.index not in self._places, f"frame {frame.index} is finished already"
        start = self._end
        length = self._write(_frame_record(frame))
        self._places[frame.index] = (start, length)

    def add_note(self, **what: Any) -> None:
        """Anything else worth knowing at the next start; it is found in `notes`."""
        self._write({"note": what})
        self.notes.append(what)

    def close(self) -> None:
        """Let go of the file; another process may hold it then."""
        self._opened.close()

    def __contains__(self, index: int) -> bool:
        return index in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[RleFrame]:
        with self.path.open("rb") as file:
            for index in sorted(self._places):
                start, length = self._places[index]
                file.seek(start)
                yield _frame(_checked(file.read(length)) or {})

    def __enter__(self) -> FrameLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _recovered(self, job: JobDescription) -> int:
        """Take in what is there and cut off what is not whole; returns where the next line goes."""
        self._end = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n") or _checked(line) is None:
                    break
                self._take(line, job)
                self._end += len(line)
        with translate_write_errors(self.path):
            os.ftruncate(self._descriptor, self._end)
        if not self._end:
            self._write({"masklet": VERSION, "identity": job_identity(job), "job": job})
            sync_folder(self.path.parent)
        return self._end

    def _take(self, line: bytes, job: JobDescription) -> None:
        if found := _FRAME.match(line, _CHECKSUM):
            self._places[int(found[1])] = (self._end, len(line))
            return
        record = _checked(line)
        assert record is not None, "the line was checked"
        if "note" in record:
            self.notes.append(record["note"])
        elif (record["masklet"], record["identity"]) != (VERSION, job_identity(job)):
            raise _mismatch(self.path, record["job"], json.loads(json.dumps(job)))

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
    """The notes of the journal in `folder`, of whatever job it is. Raises `ResourceError`."""
    with translate_write_errors(folder / FILE_NAME), (folder / FILE_NAME).open("rb") as file:
        records = (_checked(line) for line in file if not _FRAME.match(line, _CHECKSUM))
        return [record["note"] for record in records if record and "note" in record]


def job_identity(job: JobDescription) -> str:
    """A number for everything that decides a job's masks."""
    return sha256(json.dumps(job, sort_keys=True).encode())


def _frame_record(frame: RleFrame) -> dict[str, Any]:
    return {
        "frame": frame.index,
        "time": frame.time,
        "size": frame.size,
        "object_ids": frame.object_ids,
        "scores": frame.scores,
        "object_scores": frame.object_scores,
        "counts": frame.counts,
        "corrupt": frame.corrupt,
    }


def _frame(record: Mapping[str, Any]) -> RleFrame:
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
    )


def _checked(line: bytes) -> dict[str, Any] | None:
    """The record of a line, or None if it is not whole."""
    text = line[_CHECKSUM:-1]
    if line[:_CHECKSUM] != b"%08x " % zlib.crc32(text):
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _mismatch(path: Path, was: Any, now: Any) -> StateError:
    differences = dict(_differences(was, now, ""))
    told = "; ".join(f"{name} was {old!r:.60}, is {new!r:.60}" for name, (old, new) in [*differences.items()][:3])
    more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
    message = f"{path.parent} holds another job: {told or 'it is of another version of masklet'}{more}"
    return StateError("resume-mismatch", message, differences=differences)


def _differences(was: Any, now: Any, name: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Where two JSON values differ, by dotted name."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted({*was, *now}):
            yield from _differences(was.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif was != now:
        yield name, (was, now)

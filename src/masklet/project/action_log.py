"""Action log of a project: an append-only file with every change, from which undo and redo are rebuilt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Any

from masklet.errors import FormatError
from masklet.files.error_translation import translate_errors
from masklet.project.append_file import AppendFile
from masklet.project.cells import Cell, CellKey, cell_from_json, encode_cells
from masklet.project.entries import parse_entry, parse_key

FILE_NAME = "log.jsonl"
UNDO, REDO = "undo", "redo"
PERMANENT = frozenset({"add_media"})
"""Actions that are not undone: a command line that opens files must not take the place of the user's last action."""
Changes = Mapping[str, Mapping[str, Any] | None]
CellChanges = Mapping[CellKey, Cell | None]

_HEAD = re.compile(rb'\{"seq": (\d+), "group": (\d+), "time": "[^"]*", "action": "([a-z_]+)", ')


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a project.

    Attributes:
        seq: Its number, from 1.
        group: Number of the first change of its group; of `undo` and `redo` the group that is undone or redone.
        action: Name of the action.
        changes: Entries in JSON by key; None removes one.
        cells: Cells by medium, object and frame; None removes one.
        old_changes: The entries before, of those that existed.
        old_cells: The cells before, of those that existed.
    """

    seq: int
    group: int
    action: str
    changes: Changes = field(default_factory=dict)
    cells: CellChanges = field(default_factory=dict)
    old_changes: Changes = field(default_factory=dict)
    old_cells: CellChanges = field(default_factory=dict)

    @property
    def keys(self) -> Iterator[str | CellKey]:
        """Keys of the entries and cells that it changes."""
        return chain(self.changes, self.cells)

    def to_line(self) -> bytes:
        """Return the line of the log."""
        record: dict[str, Any] = {
            "seq": self.seq,
            "group": self.group,
            "time": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
            "action": self.action,
            "changes": self.changes,
            "cells": encode_cells(self.cells),
        }
        if self.old_changes or self.old_cells:
            record["before"] = {"changes": self.old_changes, "cells": encode_cells(self.old_cells)}
        return json.dumps(record, allow_nan=False).encode()


@dataclass(slots=True)
class Group:
    """Changes that are undone together.

    Attributes:
        number: Number of the first change.
        action: Its action.
        lines: Ranges of lines of the log, in order.
    """

    number: int
    action: str
    lines: list[range]

    def add(self, line: int) -> None:
        """Add the last line of the log."""
        last = self.lines[-1]
        if last.stop == line:
            self.lines[-1] = range(last.start, line + 1)
        else:
            self.lines.append(range(line, line + 1))


class ActionLog:
    """The log of a project, and the groups that can be undone and redone.

    Args:
        path: The file, which is made by the first `append`.

    Attributes:
        done: Groups that can be undone, the next one last.
        undone: Groups that can be redone, the next one last.
        first: Number of the first change in the file; 1 for an empty log.
        seq: Number of the last change; 0 if there is none.

    Raises:
        FormatError: `project-broken`. A line before the last one is damaged.
        InputNotFound: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.done: list[Group] = []
        self.undone: list[Group] = []
        self.first, self.seq = 1, 0
        self._file = AppendFile(path)
        last = len(self._file) - 1
        for line, text in enumerate(self._file):
            head = _read_head(text) if line < last else _read_record(text)
            if head is None and line < last:
                raise self._error(line, "it is damaged")
            if head is None:
                self._file.cut(line)
            else:
                self._note(line, *head)

    def __len__(self) -> int:
        return len(self._file)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def start_at(self, seq: int) -> None:
        """Number the changes of an empty log from `seq` + 1."""
        assert not len(self), "the log has no change"
        self.first, self.seq = seq + 1, seq

    def append(self, step: Step, *, sync: bool = True) -> None:
        """Append a step; with `sync` it is on the disk afterwards. Raises `ResourceError`."""
        assert step.seq == self.seq + 1, "changes are numbered in order"
        line = self._file.append(step.to_line(), sync=sync)
        self._update_groups(line, step.seq, step.group, step.action)
        self.seq = step.seq

    def sync(self) -> None:
        """Return when all changes are on the disk. Raises `ResourceError`."""
        self._file.sync()

    def steps_after(self, seq: int) -> Iterator[Step]:
        """Read the changes after a number. Raises `FormatError` (`project-broken`)."""
        lines = range(max(0, seq + 1 - self.first), len(self))
        return (self._parse(line, text) for line, text in self._read_lines(lines))

    def read_changes(self, group: Group) -> tuple[dict[str, Any], dict[CellKey, Cell | None]]:
        """Read the entries and cells after a group. Raises `FormatError` (`project-broken`)."""
        changes: dict[str, Any] = {}
        cells: dict[CellKey, Cell | None] = {}
        for line, text in self._read_lines([*chain(*group.lines)]):
            with self._name_errors(line):
                record = json.loads(text)
                changes.update(_check_changes(record["changes"]))
                cells.update(map(cell_from_json, record["cells"]))
        return changes, cells

    def read_earlier(self, group: Group) -> tuple[dict[str, Any], dict[CellKey, Cell | None]]:
        """Read the entries and cells before a group. Raises `FormatError` (`project-broken`)."""
        changes: dict[str, Any] = {}
        cells: dict[CellKey, Cell | None] = {}
        for line, text in self._read_lines([*chain(*group.lines)][::-1]):
            with self._name_errors(line):
                record = json.loads(text)
                before = record.get("before", {"changes": {}, "cells": []})
                changes.update(dict.fromkeys(_check_changes(record["changes"])))
                changes.update(_check_changes(before["changes"]))
                cells.update({cell_from_json(row)[0]: None for row in record["cells"]})
                cells.update(map(cell_from_json, before["cells"]))
        return changes, cells

    def has_actions_after(self, seq: int) -> bool:
        """Return whether other changes than those that continue a group follow a number."""
        lines = range(seq + 1 - self.first, len(self))
        heads = (_read_head(text) or (0, 0, "") for _, text in self._read_lines(lines))
        return any(number == group or action in (UNDO, REDO) for number, group, action in heads)

    def cut_after(self, seq: int) -> None:
        """Remove the changes after a number from the file, and read the groups again. Raises `ResourceError`."""
        self._file.cut(max(0, seq + 1 - self.first))
        self.done, self.undone, self.seq = [], [], self.first - 1
        for line, text in enumerate(self._file):
            self._note(line, *(_read_head(text) or (0, 0, "")))

    def _note(self, line: int, seq: int, group: int, action: str) -> None:
        """Note the head of a line of the file."""
        if line == 0:
            self.first, self.seq = seq, seq - 1
        if seq != self.seq + 1:
            raise self._error(line, f"change {self.seq + 1} is missing")
        self._update_groups(line, seq, group, action)
        self.seq = seq

    def _update_groups(self, line: int, seq: int, group: int, action: str) -> None:
        if action in (UNDO, REDO):
            source, target = (self.done, self.undone) if action == UNDO else (self.undone, self.done)
            if not source or source[-1].number != group:
                raise self._error(line, f"group {group} cannot be part of {action}")
            target.append(source.pop())
            return
        if action in PERMANENT:
            return
        if group != seq:
            joined = next((earlier for earlier in reversed(self.done) if earlier.number == group), None)
            if joined is None:
                raise self._error(line, f"group {group} cannot go on")
            joined.add(line)
            return
        self.undone.clear()
        self.done.append(Group(group, action, [range(line, line + 1)]))

    def _read_lines(self, lines: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        return zip(lines, self._file.read_lines(lines), strict=True)

    def _parse(self, line: int, text: bytes) -> Step:
        with self._name_errors(line):
            record = json.loads(text)
            before = record.get("before", {"changes": {}, "cells": []})
            return Step(
                record["seq"],
                record["group"],
                record["action"],
                record["changes"],
                dict(map(cell_from_json, record["cells"])),
                before["changes"],
                dict(map(cell_from_json, before["cells"])),
            )

    def _name_errors(self, line: int) -> AbstractContextManager[None]:
        kinds = (FormatError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
        return translate_errors(*kinds, into=lambda cause: self._error(line, str(cause)))

    def _error(self, line: int, reason: str) -> FormatError:
        message = f"{self.path}, line {line + 1}: {reason}; restore the project from a copy"
        return FormatError("project-broken", message, path=str(self.path))


def _check_changes(changes: Changes) -> Changes:
    """Return changes of entries. Raises `FormatError` for an invalid entry, before it is written to the log again."""
    for key, value in changes.items():
        if value is None:
            parse_key(key)
        else:
            parse_entry(key, value)
    return changes


def _read_head(text: bytes) -> tuple[int, int, str] | None:
    """Return number, group and action of a line; None if it is damaged. The rest of the line is not parsed."""
    match = _HEAD.match(text) if text.endswith(b"}") else None
    return _read_record(text) if match is None else (int(match[1]), int(match[2]), match[3].decode())


def _read_record(text: bytes) -> tuple[int, int, str] | None:
    """Parse a line and return its number, group and action; None if it is damaged."""
    try:
        record = json.loads(text)
        return int(record["seq"]), int(record["group"]), str(record["action"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None

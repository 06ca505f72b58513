"""Snapshot of a project, `project.json`: its entries and cells at a change, which the log continues."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from masklet.errors import FormatError
from masklet.files.atomic import atomic_write
from masklet.files.json_fields import read_fields
from masklet.project.action_log import ActionLog, Step
from masklet.project.append_file import AppendFile
from masklet.project.cells import EMPTY_MASK, CellTable
from masklet.project.document import Document
from masklet.project.entries import PROJECT_KEY

SCHEMA = 1
FILE_NAME = "project.json"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Entries and cells at a change."""

    seq: int
    entries: dict[str, Any]
    cells: CellTable


def write(folder: Path, document: Document, seq: int) -> None:
    """Write the snapshot of a project, atomically. Raises `ResourceError`."""
    with document.lock:
        record = {"schema": SCHEMA, "seq": seq, "entries": document.entries, "cells": document.cells.to_json()}
        text = json.dumps(record, allow_nan=False)
    with atomic_write(folder / FILE_NAME) as handle:
        handle.write(text.encode())


def load_document(folder: Path, log: ActionLog) -> Document:
    """Read the document of a project from its snapshot and its log, or from one of them.

    The last actions of the log are removed if they name masks that are not in the files, as after a power cut.

    Raises:
        FormatError: `project-broken` if the files do not fit together, `project-newer` for a later schema.
        ResourceError: The log cannot be written.
    """
    document = Document()
    document.apply({PROJECT_KEY: {"name": folder.name or "project"}}, {})
    snapshot = _find_base(folder, log)
    if snapshot is not None:
        document.cells = snapshot.cells
        document.apply(snapshot.entries, {})
        if not len(log):
            log.start_at(snapshot.seq)
    _replay(folder, document, log, 0 if snapshot is None else snapshot.seq)
    return document


def _find_base(folder: Path, log: ActionLog) -> _Snapshot | None:
    """Return the snapshot from which the log continues; None to start with the log alone."""
    path = folder / FILE_NAME
    broken: FormatError | None = None
    snapshot = None
    try:
        snapshot = _read(path) if path.exists() else None
    except FormatError as error:
        if error.code == "project-newer":
            raise
        broken = error
    if not len(log):
        if broken is not None:
            raise broken
        return snapshot
    if snapshot is not None and log.first - 1 <= snapshot.seq <= log.seq:
        return snapshot
    if log.first > 1:
        state = "is missing" if snapshot is None else f"is of change {snapshot.seq}"
        message = f"{log.path} has changes {log.first} to {log.seq}, but {path.name} {state}; restore it from a copy"
        raise broken or FormatError("project-broken", message, path=str(path))
    return None


def _read(path: Path) -> _Snapshot:
    try:
        fields = read_fields(path)
        schema = fields.integer("schema")
        if schema > SCHEMA:
            message = f"{path} has schema {schema}; this version of masklet reads up to {SCHEMA}: update masklet"
            raise FormatError("project-newer", message, path=str(path))
        entries, rows = fields.object("entries").value, fields.array("cells")
        snapshot = _Snapshot(fields.integer("seq"), entries, CellTable.from_json(rows))
        Document().apply(entries, {})
        return snapshot
    except FormatError as error:
        if error.code == "project-newer":
            raise
        message = error.message if str(path) in error.message else f"{path}: {error.message}"
        raise FormatError("project-broken", f"{message}; restore it from a copy", path=str(path)) from error


def _replay(folder: Path, document: Document, log: ActionLog, seq: int) -> None:
    """Apply the changes after a number."""

    @cache
    def count_masks(medium: int) -> int:
        return len(AppendFile(folder / "masks" / f"{medium}.jsonl"))

    def is_complete(step: Step) -> bool:
        masks = ((medium, cell.mask) for (medium, _, _), cell in step.cells.items() if cell is not None)
        return all(mask in (None, EMPTY_MASK) or mask < count_masks(medium) for medium, mask in masks)

    for step in log.steps_after(seq):
        if is_complete(step):
            document.apply(step.changes, step.cells)
            continue
        if step.seq == step.group or log.has_actions_after(step.seq):
            message = f"{folder / 'masks'} lacks masks of change {step.seq} in {log.path}; restore them from a copy"
            raise FormatError("project-broken", message, path=str(folder))
        log.cut_after(step.seq - 1)
        return

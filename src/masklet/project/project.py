"""Project: images, videos, objects, prompts and masks in a folder, changed by actions that can be undone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from masklet.errors import InputNotFound, ResourceError, StateError
from masklet.files.atomic import create_folder
from masklet.files.error_translation import translate_write_errors
from masklet.files.lock import Lock
from masklet.project import action_log, snapshot
from masklet.project.action_log import REDO, UNDO, ActionLog, Changes, Step
from masklet.project.append_file import refuse_link
from masklet.project.cells import Cell, CellKey
from masklet.project.document import Document
from masklet.project.entries import entry_to_json, parse_entry
from masklet.project.mask_store import MaskStore

Listener = Callable[[Step], object]

LOCK = "lock"
_SYNC_S = 1.0  # at most so many seconds of a running group are lost at a power cut
_SNAPSHOT_S = 60.0
_SNAPSHOT_SHARE = 0.01  # of the time that is spent writing snapshots


@dataclass(eq=False, slots=True)
class ActionGroup:
    """Group of actions of a run.

    Attributes:
        number: Number of its first change; 0 before.
        undone: Whether it was undone, after which the run should end.
        changed: Keys of what other actions changed since it began.
    """

    number: int = 0
    undone: bool = False
    changed: set[str | CellKey] = field(default_factory=set)

    def continue_with(self, step: Step) -> Step:
        """Return a change as part of the group. The group begins anew with a change of what other actions changed."""
        if not self.number or not self.changed.isdisjoint(step.keys):
            self.number = step.seq
            self.changed.clear()
        return replace(step, group=self.number)


class Project:
    """A project. Use `Project.open` in a `with` block. All methods may be called by any thread.

    Attributes:
        folder: The folder.
        document: Entries and cells as they are now, to be read.
    """

    def __init__(self, folder: Path, document: Document, log: ActionLog, lock: Lock) -> None:
        self.folder, self.document = folder, document
        self._log, self._file_lock = log, lock
        self._lock = document.lock
        self._listeners: list[Listener] = []
        self._groups: list[ActionGroup] = []  # open ones
        self._stores: dict[int, MaskStore] = {}
        self._unsynced: set[int] = set()  # media whose masks may not be on the disk
        self._synced_at = self._saved_at = time.monotonic()
        self._saving_s, self._saved_seq = 0.0, -1
        self._is_closed = False

    @classmethod
    def open(cls, folder: str | Path, *, create: bool = True) -> Project:
        """Open the project in a folder.

        An unfinished change at the end of its log is dropped.

        Args:
            folder: The folder.
            create: Make the folder and the project if missing.

        Raises:
            InputNotFound: There is no project, and `create` is false, or there is a file in its place.
            FormatError: `project-broken` for damaged files and for links in their place, `project-newer` for a later
                version's project.
            StateError: `job-locked`. Another process has the project open.
            ResourceError: The folder cannot be written.
        """
        path = Path(folder).absolute()
        if path.is_file():
            message = f"{folder} is a file, and a project is a folder; choose another place"
            raise InputNotFound("input-unreadable", message, path=str(folder))
        exists = any((path / name).is_file() for name in (snapshot.FILE_NAME, action_log.FILE_NAME))
        if not exists and not create:
            message = f"{folder} is not a project; it has no {snapshot.FILE_NAME}"
            raise InputNotFound("input-not-found", message, path=str(folder))
        for name in (LOCK, snapshot.FILE_NAME, action_log.FILE_NAME):
            refuse_link(path / name)
        with translate_write_errors(path):
            create_folder(path)
            lock = Lock(path / LOCK)
        try:
            log = ActionLog(path / action_log.FILE_NAME)
            document = snapshot.load_document(path, log)
            project = cls(path, document, log, lock)
            if not exists:
                project.save()
        except BaseException:
            lock.release()
            raise
        return project

    @property
    def seq(self) -> int:
        """Number of the last change; 0 if there is none."""
        return self._log.seq

    @property
    def undo_label(self) -> str | None:
        """Name of the action that `undo` reverts, or None."""
        with self._lock:
            return self._log.done[-1].action if self._log.done else None

    @property
    def redo_label(self) -> str | None:
        """Name of the action that `redo` repeats, or None."""
        with self._lock:
            return self._log.undone[-1].action if self._log.undone else None

    @property
    def lock(self) -> Any:
        """A context manager that holds the project, for reads and actions that must not be separated."""
        return self._lock

    def act(
        self,
        action: str,
        entries: Changes | None = None,
        cells: Mapping[CellKey, Cell | None] | None = None,
        group: ActionGroup | None = None,
    ) -> Step:
        """Change entries and cells. The change is in the log when this returns, and on the disk.

        Args:
            action: Name of the action, in lower-case letters and underscores.
            entries: Entries in JSON by key; None removes one.
            cells: Cells by medium, object and frame; None removes one. Masks that they name were added before.
            group: The group of a run, see `group`. Its changes after the first are on the disk within a second.

        Returns:
            The change, without what was as stated before. Nothing is written if nothing changes.

        Raises:
            FormatError: `project-broken`. An entry is invalid.
            ResourceError: The log cannot be written. Nothing changed.
            StateError: `project-closed`. The project is closed.
        """
        with self._lock:
            step = self._make_step(action, entries or {}, cells or {})
            if group is not None and group.undone:
                return Step(self.seq, group.number, action)
            if not step.changes and not step.cells:
                return replace(step, seq=self.seq)
            if group is not None:
                step = group.continue_with(step)
            self._append(step, sync=step.group == step.seq)
            return step

    @contextmanager
    def group(self) -> Iterator[ActionGroup]:
        """Open a group for a run whose changes arrive over time. They are undone together.

        Other actions may come between its changes. One that changed an entry or a cell divides the group where the run
        changes the same one, so that actions can be undone in their order. Once the group is undone, its further
        changes are not made.
        """
        group = ActionGroup()
        with self._lock:
            self._groups.append(group)
        try:
            yield group
        finally:
            with self._lock:
                self._groups.remove(group)
                self._sync()

    def undo(self) -> Step | None:
        """Revert the last group of actions that was not undone. Returns None if there is none.

        Raises:
            FormatError: `project-broken`. The log is damaged.
            ResourceError: The log cannot be written.
        """
        with self._lock:
            if not self._log.done:
                return None
            changes, cells = self._log.read_earlier(self._log.done[-1])
            number = self._log.done[-1].number
            for group in self._groups:
                group.undone = group.undone or group.number == number
            return self._move(UNDO, number, changes, cells)

    def redo(self) -> Step | None:
        """Repeat the last group of actions that was undone. Returns None if there is none. Raises like `undo`."""
        with self._lock:
            if not self._log.undone:
                return None
            changes, cells = self._log.read_changes(self._log.undone[-1])
            return self._move(REDO, self._log.undone[-1].number, changes, cells)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call a function with every change, in order, after it is in the log. Returns a function that ends it.

        It is called by the thread that makes the change, which holds the project meanwhile.
        """
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def masks(self, medium: int) -> MaskStore:
        """Return the masks of an image or video. Raises `PromptError` (`unknown-object`) if there is none."""
        with self._lock:
            size, store = self.document.medium(medium).size, self._stores.get(medium)
            if store is None or store.size != size:
                store = self._stores[medium] = MaskStore(self.folder / "masks" / f"{medium}.jsonl", size)
            return store

    def save(self) -> None:
        """Write `project.json`, which opens faster than the log. Raises `ResourceError`."""
        started = time.monotonic()
        with self._lock:
            if self._saved_seq == self.seq:
                return
            self._sync()
            snapshot.write(self.folder, self.document, self.seq)
            self._saved_seq, self._saved_at = self.seq, time.monotonic()
            self._saving_s = self._saved_at - started

    def close(self) -> None:
        """Write `project.json` and release the folder. Later changes are refused. Raises `ResourceError`."""
        with self._lock:
            if self._is_closed:
                return
            try:
                self.save()
            finally:
                self._is_closed = True
                self._file_lock.release()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _make_step(self, action: str, entries: Changes, cells: Mapping[CellKey, Cell | None]) -> Step:
        """Return the step from what is now, without what would not change."""
        document = self.document
        entries = {
            key: None if value is None else entry_to_json(parse_entry(key, value)) for key, value in entries.items()
        }
        now = {key: document.entry(key) for key in entries}
        old = {key: document.cells.get(*key) for key in cells}
        changed = [key for key, value in entries.items() if now[key] != value]
        changed_cells = [key for key, cell in cells.items() if old[key] != cell]
        number = self.seq + 1
        return Step(
            number,
            number,
            action,
            {key: entries[key] for key in changed},
            {key: cells[key] for key in changed_cells},
            {key: value for key in changed if (value := now[key]) is not None},
            {key: cell for key in changed_cells if (cell := old[key]) is not None},
        )

    def _move(self, action: str, group: int, changes: Changes, cells: Mapping[CellKey, Cell | None]) -> Step:
        step = Step(self.seq + 1, group, action, changes, cells)
        self._append(step, sync=True)
        return step

    def _append(self, step: Step, *, sync: bool) -> None:
        """Write a step, apply it and pass it to the listeners."""
        if self._is_closed:
            raise StateError("project-closed", f"{self.folder} is closed; open the project again")
        self._unsynced |= {medium for (medium, _, _), cell in step.cells.items() if cell and cell.mask is not None}
        sync = sync or time.monotonic() - self._synced_at > _SYNC_S
        if sync:
            self._sync_masks()
        self._log.append(step, sync=sync)
        if sync:
            self._synced_at = time.monotonic()
        self.document.apply(step.changes, step.cells)
        for group in self._groups:
            if group.number != step.group:
                group.changed.update(step.keys)
        for listener in (*self._listeners,):
            listener(step)
        if time.monotonic() - self._saved_at > max(_SNAPSHOT_S, self._saving_s / _SNAPSHOT_SHARE):
            self._saved_at = time.monotonic()  # if it fails, the next attempt waits as long: the log has everything
            with suppress(ResourceError):
                self.save()

    def _sync(self) -> None:
        self._sync_masks()
        self._log.sync()
        self._synced_at = time.monotonic()

    def _sync_masks(self) -> None:
        for medium in self._unsynced & self._stores.keys():
            self._stores[medium].sync()
        self._unsynced.clear()

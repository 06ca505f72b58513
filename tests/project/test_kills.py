"""Kills: whatever moment a process is killed at, at most the action in flight is lost."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from masklet.project.project import Project
from support.project_actions import KilledProcess, create_project, make_actions
from support.projects import copy_files, read_state

ACTIONS = 60


def check_kills(folder: Path, copies: Path, kills: int) -> None:
    """Kill a process that changes a project, again and again, and compare it with the same actions without a kill."""
    number = random.Random(kills)
    create_project(folder).close()
    with KilledProcess() as process:
        for seed in range(kills):
            copy = copy_files(folder, copies / str(seed))
            made = process.run(folder, seed, number.uniform(0, 0.04))
            with Project.open(folder) as project, Project.open(copy) as expected:
                assert made <= project.seq <= made + 1
                actions = make_actions(expected, seed)
                while expected.seq < project.seq:
                    next(actions)
                assert read_state(project) == read_state(expected)
                assert (project.undo_label, project.redo_label) == (expected.undo_label, expected.redo_label)
                cells = [cell for key in (1, 2) for _, cell in project.document.cells.cells_of(1, key)]
                assert all(project.masks(1).read(cell.mask or 0).any() for cell in cells)


def test_three_kills_lose_at_most_the_action_in_flight(tmp_path: Path) -> None:
    check_kills(tmp_path / "project", tmp_path / "copies", 3)


@pytest.mark.slow
def test_fifty_kills_lose_at_most_the_action_in_flight(tmp_path: Path) -> None:
    check_kills(tmp_path / "project", tmp_path / "copies", 50)


class Recording:
    """A project with its state and the sizes of its files after every change."""

    def __init__(self, folder: Path) -> None:
        self.states: list[Any] = [None]  # before the video was added
        self.log_sizes: list[int] = [0]
        self.mask_sizes: list[int] = [0]
        with create_project(folder) as project:
            self._note(project)
            for _ in islice(make_actions(project, 7), ACTIONS):
                if project.seq == len(self.states):
                    self._note(project)
            self.folder = copy_files(folder, folder.with_name("files"))  # project.json is of an earlier change

    def _note(self, project: Project) -> None:
        sizes = [path.stat().st_size if path.exists() else 0 for path in self.list_files(project.folder)]
        self.states.append(read_state(project))
        self.log_sizes.append(sizes[0])
        self.mask_sizes.append(sizes[1])

    @staticmethod
    def list_files(folder: Path) -> tuple[Path, Path]:
        return folder / "log.jsonl", folder / "masks" / "1.jsonl"

    def cut(self, target: Path, log_size: int, mask_size: int, *, snapshot: bool) -> Path:
        """Copy the project with cut files. Returns the folder of the copy."""
        copy_files(self.folder, target)
        for path, size in zip(self.list_files(target), (log_size, mask_size), strict=True):
            path.write_bytes(path.read_bytes()[:size])
        if not snapshot:
            (target / "project.json").unlink()
        return target


def test_files_that_are_cut_anywhere_lose_at_most_the_action_in_flight(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "project")
    number = random.Random(1)
    count = len(recording.states) - 1
    assert count > 30
    for case in range(50):
        seq = number.randrange(2, count + 1)  # the change in flight
        log_size = number.randrange(recording.log_sizes[seq - 1], recording.log_sizes[seq] + 1)
        mask_size = number.randrange(recording.mask_sizes[seq - 1], recording.mask_sizes[seq] + 1)
        is_whole = log_size == recording.log_sizes[seq] and mask_size == recording.mask_sizes[seq]
        folder = recording.cut(tmp_path / f"{case}" / "project", log_size, mask_size, snapshot=case % 2 == 0)
        with Project.open(folder) as project:
            assert project.seq == (seq if is_whole else seq - 1)
            assert read_state(project) == recording.states[project.seq]
            next(make_actions(project, case))
            state = read_state(project)
        with Project.open(folder) as project:
            assert read_state(project) == state

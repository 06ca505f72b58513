"""A random sequence of actions on a project, and a process that makes them and is killed.

Run as a program, it reads a folder, a seed and a delay in seconds from each line of its stdin, makes the actions of the
seed in a child, kills it after the delay, and writes the number of the last change that the child had made.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from masklet.project.cells import Cell
from masklet.project.entries import ObjectClass, class_key
from masklet.project.project import Project
from support.projects import add_video, box_at

FRAMES = 30


def create_project(folder: Path) -> Project:
    """Create a project with a video of two objects."""
    project = Project.open(folder)
    add_video(project, FRAMES, objects=2)
    return project


def make_actions(project: Project, seed: int) -> Iterator[int]:
    """Make actions without end, each of which writes at most one line, and yield the number of the last change.

    The project is that of `create_project`, with any actions since.
    """
    number = random.Random(seed)
    while True:
        kind = number.choice(["class", "cell", "track", "undo", "undo", "redo", "save"])
        if kind == "track":
            with project.group() as group:
                for frame in range(number.randrange(2, 8)):
                    project.act("track", cells=_make_cells(project, number, frame, "track"), group=group)
                    yield project.seq
            continue
        if kind == "class":
            name = f"class {number.randrange(10**6)}"
            project.act(kind, {class_key(number.randrange(1, 5)): ObjectClass(name, "#ff0000").to_json()})
        elif kind == "cell":
            project.act(kind, cells=_make_cells(project, number, number.randrange(FRAMES), "edit"))
        elif kind != "undo" or project.undo_label != "add_media":
            getattr(project, kind)()
        yield project.seq


class KilledProcess:
    """The process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def run(self, folder: Path, seed: int, delay_s: float) -> int:
        """Make actions until the kill, and return the number of the last change that was made before it."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{folder}\t{seed}\t{delay_s}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> KilledProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def _make_cells(project: Project, number: random.Random, frame: int, source: Any) -> dict[Any, Cell | None]:
    store = project.masks(1)
    return {(1, key, frame): Cell(store.add(box_at(key, number.randrange(40))), 0.5, source) for key in (1, 2)}


def _serve() -> None:
    for line in sys.stdin:
        folder, seed, delay_s = line.rstrip("\n").split("\t")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with Project.open(folder) as project:
                os.write(writer, f"{project.seq}\n".encode())
                for seq in make_actions(project, int(seed)):
                    os.write(writer, f"{seq}\n".encode())
            os._exit(1)
        os.close(writer)
        first = os.read(reader, 1 << 16)  # waits until the project is open
        time.sleep(float(delay_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as rest:
            made = first + rest.read()
        sys.stdout.write(f"{made.split()[-1].decode()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()

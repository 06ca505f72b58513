"""Logs: the frame log of a job, and the files of a project."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from fuzzing.mutation import mutate_bytes, mutate_checked_json, mutate_json, mutate_lines
from fuzzing.target import Target, require
from masklet.errors import FormatError, InputNotFound, PromptError, ResourceError, StateError
from masklet.jobs.frame_log import FILE_NAME, FrameLog
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.project.project import Project
from support.projects import add_video, box_at, set_cells

JOB = {"model": "fake", "input": {"name": "clip.mp4", "frames": 6}}
ERRORS = (FormatError, InputNotFound, ResourceError, StateError, PromptError)


def make_frames() -> list[RleFrame]:
    """Make six frames of two objects."""
    frames = []
    for index in range(6):
        masks = Masks.from_binary([box_at(1, index), box_at(2, index)], object_ids=[1, 2], labels=["cat", None])
        frames.append(encode_frame(TrackedFrame(index, index / 10, masks)))
    return frames


def write_log(folder: Path) -> bytes:
    """Write the frame log of a job, and return its content."""
    shutil.rmtree(folder, ignore_errors=True)
    with FrameLog(folder, JOB) as log:
        for frame in make_frames():
            log.append(frame)
        log.add_note(format="png")
    return (folder / FILE_NAME).read_bytes()


def _check_damaged(folder: Path, expected: list[RleFrame]) -> None:
    """Lines have checksums, so each frame is as it was written, or missing."""
    with FrameLog(folder, JOB) as log:
        require(all(frame == expected[frame.index] for frame in log), "a frame differs")
        finished = len(log)
        missing = [frame for frame in expected if frame.index not in log]
        for frame in missing:
            log.append(frame)
    with FrameLog(folder, JOB) as log:
        require([*log] == expected, f"after {finished} frames, the others were not appended")


def _check_foreign(folder: Path) -> None:
    """A log whose checksums are right was written by someone else; it is refused, or its frames are valid."""
    with FrameLog(folder, JOB) as log:
        for frame in log:
            masks = frame.decode().masks
            require(masks.binary.shape[1:] == masks.size, f"masks of {masks.binary.shape}")


def write_project(folder: Path) -> None:
    """Write a project with two videos, cells, undone actions and prompts."""
    shutil.rmtree(folder, ignore_errors=True)
    with Project.open(folder) as project:
        first, second = add_video(project, 8, 2), add_video(project, 4, 1, "other.mp4")
        set_cells(project, first, {1: "pttTte..", 2: "..pthtx."})
        set_cells(project, second, {1: "iI.."})
        prompt = {"points": [[5, 5, 1]], "box": None, "candidate": None}
        project.act("predict", {f"prompt/{first}/1/0": prompt, "class/1": {"name": "cat", "color": "#aabbcc"}})
        project.act("rename", {"project": {"name": "another"}})
        project.undo()


def _check_project(folder: Path, sound: dict[str, bytes], mutated: str) -> None:
    content = (folder / mutated).read_bytes()
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
    for name, whole in sound.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if name == mutated else whole)
    with Project.open(folder) as project:
        document = project.document
        for medium, _, frame, _, _, numbers, _ in document.cells.to_json():
            require(frame >= 0, f"frame {frame}")
            for number in numbers:
                if number is not None:
                    project.masks(medium).read(number)
        for medium in document.media():
            project.masks(medium).areas()
        for _ in range(3):
            project.undo()
        project.redo()
        project.act("rename", {"project": {"name": "third"}})
    with Project.open(folder) as project:
        require(project.document.name == "third", f"the project is called {project.document.name!r}")


def _mutate_foreign(content: bytes, rng: Random) -> bytes:
    """Mutate lines of a frame log, each of which gets its checksum."""
    lines = content.splitlines()
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.randrange(len(lines))
        with contextlib.suppress(ValueError):  # the line is no JSON any more
            lines[place] = mutate_checked_json(lines[place], rng)
    if rng.random() < 0.2:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b"\n".join(lines) + b"\n"


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets: a frame log with and without right checksums, and each file of a project."""
    damaged, foreign = folder / "damaged", folder / "foreign"
    content = write_log(damaged)
    shutil.copytree(damaged, foreign, dirs_exist_ok=True)
    whole, project = folder / "whole", folder / "project"
    write_project(whole)
    names = [
        str(path.relative_to(whole)) for path in sorted(whole.rglob("*")) if path.is_file() and path.name != "lock"
    ]
    sound = {name: (whole / name).read_bytes() for name in names}
    targets = [
        Target("frame-log", damaged / FILE_NAME, [content], partial(_check_damaged, damaged, make_frames())),
        Target(
            "foreign-log", foreign / FILE_NAME, [content], partial(_check_foreign, foreign), _mutate_foreign, ERRORS
        ),
    ]
    for name in names:
        mutate = mutate_lines(mutate_json) if name.endswith(".jsonl") else mutate_json
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        check = partial(_check_project, project, sound, name)
        label = name.replace("/", "-").replace(".", "-")
        targets.append(Target(f"project-{label}", project / name, [sound[name]], check, _Mixed(mutate), ERRORS))
    yield targets


class _Mixed:
    """A mutation that also damages bytes."""

    def __init__(self, mutate: object) -> None:
        self._mutate = mutate

    def __call__(self, content: bytes, rng: Random) -> bytes:
        mutate = mutate_bytes if rng.random() < 0.3 else self._mutate
        return mutate(content, rng)  # type: ignore[operator, no-any-return]

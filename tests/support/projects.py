"""Projects for tests: videos of gray boxes, and masks of them as cells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.project.cells import Cell, Source
from masklet.project.entries import Medium, ProjectObject, media_key, object_key
from masklet.project.project import Project
from support.gray_world import SIZE, draw_boxes

Values = Mapping[int, str]
"""Letters by object, one for each frame: see `set_cells`."""

_SOURCES: dict[str, Source] = {"p": "prompt", "e": "edit", "i": "import", "t": "track", "h": "track", "x": "absent"}


def add_video(project: Project, frames: int, objects: int = 1, path: str = "video.mp4") -> int:
    """Add a video without a file and its objects 1, 2, …, and return its number."""
    medium = project.document.new_medium()
    entries: dict[str, Any] = {media_key(medium): Medium(path, "video", SIZE, frames, (0.0, 10.0)).to_json()}
    for number in range(1, objects + 1):
        entries[object_key(medium, number)] = ProjectObject(f"object {number}", None, "#aabbcc").to_json()
    project.act("add_media", entries)
    return medium


def set_cells(project: Project, medium: int, values: Values) -> None:
    """Set the cells of the objects on frames 0, 1, …

    Letters are p prompt, e edit, i import, t tracked, h tracked and hidden, x absent; upper case is accepted, any other
    character is no cell. The mask of object n on frame t is the box that `box_at` returns.
    """
    cells: dict[Any, Cell | None] = {}
    for object_id, letters in values.items():
        for frame, letter in enumerate(letters):
            source = _SOURCES.get(letter.lower())
            if source is not None:
                mask: int | None = project.masks(medium).add(box_at(object_id, frame) & (letter not in "hH"))
                cells[medium, object_id, frame] = Cell(
                    None if source == "absent" else mask, 1.0, source, letter.isupper()
                )
            else:
                cells[medium, object_id, frame] = None
    project.act("edit", cells=cells)


def show_cells(project: Project, medium: int, object_id: int, frames: int) -> str:
    """Return the cells of an object as letters of `set_cells`."""
    letters = {source: letter for letter, source in reversed(_SOURCES.items())}
    shown = []
    for frame in range(frames):
        cell = project.document.cell(medium, object_id, frame)
        letter = "." if cell is None else letters[cell.source]
        letter = "h" if letter == "t" and cell is not None and not cell.visible else letter
        shown.append(letter.upper() if cell is not None and cell.accepted else letter)
    return "".join(shown)


def box_at(object_id: int, frame: int) -> NDArray[np.bool_]:
    """Return the mask of an object: a box of 10 × 8 pixels that moves to the right, each object in a row of its own."""
    mask = np.zeros(SIZE, bool)
    left, top = 2 + frame % 40, 2 + 12 * (object_id - 1)
    mask[top : top + 8, left : left + 10] = True
    return mask


def draw_frames(frames: int, objects: int = 1) -> NDArray[np.uint8]:
    """Draw a video (T, H, W, 3) of the boxes of `box_at`; object n has the gray value 50 n."""
    video = np.stack([draw_boxes({})] * frames)
    for frame in range(frames):
        for number in range(1, objects + 1):
            video[frame][box_at(number, frame)] = 50 * number
    return video


def read_state(project: Project) -> tuple[dict[str, Any], list[Any]]:
    """Return all entries and cells of a project."""
    return project.document.entries, project.document.cells.to_json()


def copy_files(source: Path, target: Path) -> Path:
    """Copy the files of a project, without its lock. Returns `target`."""
    for path in source.rglob("*"):
        if path.is_file() and path.name != "lock":
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return target

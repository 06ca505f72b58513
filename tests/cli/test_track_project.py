"""`masklet track --project`: what is tracked, continued and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.cli import track_project
from masklet.cli.main import main
from masklet.project.cells import Cell
from masklet.project.entries import ProjectObject, object_key
from masklet.project.media import add_media
from masklet.project.project import Project
from support.projects import box_at, draw_frames, set_cells, show_cells

COUNT = 8


@pytest.fixture
def folder(tmp_path: Path, gray_world: None) -> Path:
    """A project with two videos of frames and an image; object 1 has a mask on frame 2 of the first video."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index, image in enumerate(draw_frames(COUNT)):
            Image.fromarray(image).save(tmp_path / name / f"{index:03d}.png")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "image.png")
    with Project.open(tmp_path / "project") as project:
        add_media(project, [tmp_path / "a", tmp_path / "b"], frame_folders=True)
        add_media(project, [tmp_path / "image.png"])
        entry = ProjectObject("", None, "#aabbcc").to_json()
        project.act("add_object", {object_key(medium, 1): entry for medium in (1, 2, 3)})
        set_cells(project, 1, {1: "..p"})
    return tmp_path / "project"


def track(*words: str | Path) -> int:
    return main(["track", *map(str, words)])


def show(folder: Path, medium: int = 1) -> str:
    with Project.open(folder) as project:
        return show_cells(project, medium, 1, COUNT)


def test_every_object_is_tracked_through_frames_without_a_cell(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track("--project", folder, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    (video,) = record["videos"]
    assert (video["medium"], video["path"], video["frames"], record["frames"]) == (1, "../a", 7, 7)
    assert video["objects"] == [{"object": 1, "frames": 7, "first": 0, "last": 7}]
    assert show(folder) == "ttpttttt"
    with Project.open(folder) as project:
        cell = project.document.cell(1, 1, 6)
        assert cell is not None and np.array_equal(project.masks(1).read(cell.mask or 0), box_at(1, 6))
    assert track("--project", folder) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "every frame is tracked already" in captured.err


def test_masks_that_may_be_wrong_are_warned_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(4, COUNT):
        Image.fromarray(np.zeros_like(draw_frames(1)[0])).save(folder.parent / "a" / f"{index:03d}.png")
    assert track("--project", folder, "--json") == 0
    captured = capsys.readouterr()
    (warning,) = json.loads(captured.out)["videos"][0]["warnings"]
    assert (warning["code"], warning["object"], warning["frame"]) == ("object-lost", 1, 4)
    assert captured.err.count("masklet: warning: object 1 ") == 1


def test_an_interrupt_saves_the_tracked_frames(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = track_project.run_tracking

    def interrupt(*arguments: Any, **options: Any) -> Iterator[Any]:
        for number, frame in enumerate(run(*arguments, **options)):
            if number == 3:
                raise KeyboardInterrupt
            yield frame

    with monkeypatch.context() as patch:
        patch.setattr(track_project, "run_tracking", interrupt)
        assert track("--project", folder) == 130
    assert "run the same command to continue" in capsys.readouterr().err
    assert show(folder) == "..ptttt."
    assert track("--project", folder) == 0
    assert capsys.readouterr().out == "../a: 3 frames\n" and show(folder) == "ttpttttt"


def test_medium_selects_videos(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Project.open(folder) as project:
        number = project.masks(2).add(box_at(1, 0))
        project.act("edit", cells={(2, 1, 0): Cell(number, 1.0, "edit")})
    assert track("--project", folder, "--medium", "2") == 0
    assert (show(folder), show(folder, 2)) == ("..p.....", "ettttttt")
    capsys.readouterr()
    assert track("--project", folder, "--medium", "3") == 65
    assert "the videos of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["video.mp4"], 2, "VIDEO cannot be combined"),
        (["--point", "3,4"], 2, "--point cannot be combined"),
        (["--prompts", "p.json"], 2, "--prompts cannot be combined"),
        (["--format", "coco"], 2, "--format cannot be combined"),
        (["--out", "x"], 2, "--out cannot be combined"),
        (["--no-autorotate"], 2, "--no-autorotate cannot be combined"),
        (["--on-corrupt", "carry"], 2, "--on-corrupt cannot be combined"),
        (["--resume"], 2, "--resume cannot be combined"),
    ],
)
def test_options_that_a_project_decides_are_refused(
    words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track("--project", "labels", *words) == status
    assert message in capsys.readouterr().err


def test_what_cannot_be_tracked_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Project.open(folder) as project:
        assert track("--project", folder) == 75
        assert "is in use by" in capsys.readouterr().err
        set_cells(project, 1, {1: "..."})
    for words, status, message in [
        (["--project", folder], 2, "nothing to track"),
        (["--project", tmp_path / "none"], 66, "is not a project"),
        (["--medium", "1"], 2, "--medium needs --project"),
        ([], 2, "give a VIDEO, or --project DIR"),
    ]:
        assert track(*words) == status
        assert message in capsys.readouterr().err

"""`masklet export project`: formats, selection of media, and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.formats import read_masks
from masklet.project.entries import ProjectObject, object_key
from masklet.project.media import add_media
from masklet.project.project import Project
from support.projects import box_at, draw_frames, set_cells

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("DIR", …)` → exit status, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        status = main(["export", "project", *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with two images, and a folder of three frames as a video, with an object each."""
    images, frames = tmp_path / "images", tmp_path / "walk"
    for place in (images, frames):
        place.mkdir()
    for index, image in enumerate(draw_frames(3)):
        Image.fromarray(image).save(frames / f"{index}.png")
    for name in ("a.png", "b.png"):
        Image.fromarray(draw_frames(1)[0]).save(images / name)
    with Project.open(tmp_path / "work") as project:
        add_media(project, [images])
        add_media(project, [frames], frame_folders=True)
        for medium, letters in ((1, "p"), (2, "e"), (3, "ptt")):
            project.act("add_object", {object_key(medium, 1): ProjectObject("box", None, "#aabbcc").to_json()})
            set_cells(project, medium, {1: letters})
    return tmp_path / "work"


def test_a_project_is_written_in_several_formats(run: Run, folder: Path, tmp_path: Path) -> None:
    status, out, _ = run(folder, "--format", "coco,blur", "--out", tmp_path / "out")
    assert status == 0
    assert [Path(line) for line in out.splitlines()] == [
        tmp_path / "out" / name for name in ("walk/coco.json", "walk/blur.mp4", "images/coco.json", "images/blur")
    ]
    frames = list(read_masks(tmp_path / "out" / "walk" / "coco.json"))
    assert [frame.masks.areas.tolist() for frame in frames] == [[80]] * 3
    assert (frames[2].masks.binary[0] == box_at(1, 2)).all()
    assert sorted(path.name for path in (tmp_path / "out" / "images" / "blur").iterdir()) == ["a.jpg", "b.jpg"]


def test_without_out_the_project_has_a_new_folder_of_exports(run: Run, folder: Path) -> None:
    status, out, _ = run(folder, "--json")
    record = json.loads(out)
    assert status == 0 and record["project"] == str(folder)
    (export,) = (folder / "exports").iterdir()
    assert sorted(record["files"]) == [str(export / name / "coco.json") for name in ("images", "walk")]


@pytest.mark.parametrize(("names", "written"), [(["walk"], ["walk"]), (["images/a.png", "2"], ["images"])])
def test_media_are_named_by_paths_and_numbers(
    names: list[str], written: list[str], run: Run, folder: Path, tmp_path: Path
) -> None:
    options = [word for name in names for word in ("--media", name)]
    assert run(folder, "--format", "png", *options, "--out", tmp_path / "out")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == written
    if written == ["images"]:
        assert sorted(path.name for path in (tmp_path / "out").rglob("*.png")) == ["a.png", "b.png"]


def test_the_background_is_replaced_by_the_given_color(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ("--format", "background", "--background", "#c00000", "--media", "a.png", "--out", tmp_path / "out")
    assert run(folder, *words)[0] == 0
    image = np.asarray(Image.open(tmp_path / "out" / "images" / "background" / "a.jpg")).astype(int)
    assert abs(image[30:] - [192, 0, 0]).max() < 10


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["--format", "cocoa"], 2, "bad-usage"),
        (["--media", "c.png"], 2, "bad-usage"),
        (["--media", "9"], 2, "bad-usage"),
        (["--background", "reddish"], 2, "bad-usage"),
        (["--out", "FOLDER"], 73, "output-exists"),
    ],
)
def test_wrong_options_end_in_one_clear_line(words: list[str], status: int, code: str, run: Run, folder: Path) -> None:
    found, out, err = run(folder, *(str(folder) if word == "FOLDER" else word for word in words))
    assert (found, out) == (status, "")
    assert [line.endswith(f"[{code}]") for line in err.splitlines() if "error: " in line] == [True]


def test_a_folder_that_is_no_project_is_not_made_one(run: Run, tmp_path: Path) -> None:
    assert run(tmp_path / "none")[0] == 66
    assert not (tmp_path / "none").exists()


def test_a_project_that_is_open_elsewhere_is_refused_with_a_hint(run: Run, folder: Path) -> None:
    with Project.open(folder):
        status, _, err = run(folder)
    assert status == 75 and "[job-locked]" in err and "hint: export it from the menu of the studio" in err

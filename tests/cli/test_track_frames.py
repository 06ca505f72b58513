"""`masklet track --frames`: images beside annotations, resuming with other ones, overwriting, and refusals."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.cli import options
from masklet.cli.main import main
from masklet.formats import Output
from masklet.segmenter import Segmenter
from support.clips import read_number, write_clip
from support.fake_backend import FakeBackend

COUNT = 6
PROMPT = ("--point", "20,20")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a backend without a network, and do not wait for the disk."""
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: Segmenter(FakeBackend()))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of frames: a square moves to the right."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for index in range(COUNT):
        image = np.full((60, 90, 3), 40, np.uint8)
        image[10:40, 10 + index : 40 + index] = (200, 60, 30)
        Image.fromarray(image).save(folder / f"a{index}.png")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "dog.mp4", COUNT)


def track(*words: object) -> int:
    status = main(["track", *map(str, words)])
    assert status != 1
    return status


def contents(out: Path) -> dict[str, bytes]:
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and ".masklet" not in path.parts)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def images(out: Path) -> list[str]:
    return [name for name in contents(out) if Path(name).suffix in (".png", ".jpg")]


def test_labelme_and_yolo_of_a_video_have_its_frames(clip: Path, tmp_path: Path) -> None:
    assert track(clip, *PROMPT, "--format", "labelme,yolo,coco", "--every", "2", "--out", tmp_path / "out") == 0
    assert images(tmp_path / "out") == [
        f"{place}/0000{k}.jpg" for place in ("labelme", "yolo/images") for k in (0, 2, 4)
    ]
    for index in (0, 2, 4):
        assert read_number(np.asarray(Image.open(tmp_path / f"out/labelme/0000{index}.jpg"))) == index


def test_coco_says_how_to_get_the_frames_of_a_video(
    clip: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [clip, *PROMPT, "--format", "coco,ytvis", "--out", tmp_path / "out"]
    assert track(*words) == 0
    assert "frames that coco.json and ytvis.json names are not written; --frames jpg" in capsys.readouterr().err
    assert track(folder, *PROMPT, "--format", "coco", "--out", tmp_path / "2") == 0
    assert track(clip, *PROMPT, "--format", "coco", "--out", tmp_path / "3", "--frames", "none") == 0
    assert "not written" not in capsys.readouterr().err
    assert track(*words, "--frames", "jpg", "--resume") == 0
    names = [row["file_name"] for row in json.loads((tmp_path / "out/coco.json").read_text())["images"]]
    assert names == images(tmp_path / "out") == [f"frames/{index:05d}.jpg" for index in range(COUNT)]


@pytest.mark.parametrize("mode", ["copy", "link"])
def test_image_files_are_copied_or_linked(mode: str, folder: Path, tmp_path: Path) -> None:
    words = ["--format", "labelme,yolo,coco,cvat", "--frames", mode, "--out", tmp_path / "out"]
    assert track(folder, *PROMPT, *words) == 0
    for name in ("labelme/a3.png", "yolo/images/a3.png", "frames/a3.png", "images/frame_000003.png"):
        found, source = tmp_path / "out" / name, folder / "a3.png"
        assert found.read_bytes() == source.read_bytes() and found.samefile(source) == (mode == "link")


def test_a_job_that_is_resumed_with_other_images_is_that_of_a_new_run(folder: Path, tmp_path: Path) -> None:
    words = [folder, *PROMPT, "--format", "labelme,yolo,coco,cvat", "--out"]
    for mode in ("none", "copy", "jpg", "png", "png"):
        assert track(*words, tmp_path / "one", "--frames", mode, "--resume") == 0
        assert track(*words, tmp_path / mode, "--frames", mode, "--overwrite") == 0
        found, wanted = contents(tmp_path / "one"), contents(tmp_path / mode)
        for name in ("frames/", "images/"):  # files name the images that belong to them
            found = {key: value for key, value in found.items() if not key.startswith(name) or key in wanted}
        assert found == wanted


def test_overwrite_removes_the_images_of_the_job_only(folder: Path, tmp_path: Path) -> None:
    words = [folder, *PROMPT, "--format", "coco,cvat,labelme", "--frames", "jpg", "--out", tmp_path / "out"]
    assert track(*words) == 0
    assert track(folder, *PROMPT, "--format", "npz", "--out", tmp_path / "out", "--overwrite") == 0
    assert [*contents(tmp_path / "out")] == ["masks.npz"]
    (tmp_path / "out/frames").mkdir()
    (tmp_path / "out/frames/mine.jpg").write_bytes(b"mine")
    assert track(*words, "--overwrite") == 0
    assert track(folder, *PROMPT, "--format", "npz", "--out", tmp_path / "out", "--overwrite") == 0
    assert (tmp_path / "out/frames/mine.jpg").read_bytes() == b"mine"
    assert not (tmp_path / "out/images").exists()


def test_images_of_others_are_not_replaced(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out/frames").mkdir(parents=True)
    words = [folder, *PROMPT, "--format", "coco", "--out", tmp_path / "out"]
    assert track(*words, "--frames", "link") == 73 and "frames exists and belongs to no job" in capsys.readouterr().err
    assert track(*words) == 0


def test_overwrite_keeps_frames_that_are_tracked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert track(folder, *PROMPT, "--format", "coco", "--frames", "jpg", "--out", out) == 0
    shutil.copytree(folder, out / "mine")
    before = contents(out)
    words = [*PROMPT, "--format", "png", "--out", out, "--overwrite"]
    assert track(out / "frames", *words) == 2 and "has the frames of" in capsys.readouterr().err
    assert contents(out) == before
    assert track(out / "mine", *words) == 0, "these frames are not removed"


@pytest.mark.parametrize("words", [("--frames", "jpg"), ("--frames", "gif", "--format", "coco")])
def test_images_that_no_format_has_are_refused(words: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    assert track(folder, *PROMPT, *words, "--out", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


def test_a_project_decides_about_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert track("--project", tmp_path, "--frames", "jpg") == 2
    assert "--frames cannot be combined with --project" in capsys.readouterr().err


def test_images_that_an_interrupted_run_has_written_are_not_written_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [folder, *PROMPT, "--format", "coco,yolo", "--frames", "jpg", "--out"]
    assert track(*words, tmp_path / "whole") == 0
    write: Callable[..., None] = Output.write_images

    def interrupt(self: Output, *arguments: object, progress: Callable[[int, int], None], **more: object) -> None:
        def stop(done: int, total: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

        write(self, *arguments, progress=stop, **more)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Output, "write_images", interrupt)
        assert track(*words, out) == 130
    times = {name: (out / name).stat().st_mtime_ns for name in images(out)}
    assert len(times) == 3 and not (out / "coco.json").exists()
    assert track(*words, out, "--resume") == 0
    assert contents(out) == contents(tmp_path / "whole")
    assert {name: (out / name).stat().st_mtime_ns for name in times} == times

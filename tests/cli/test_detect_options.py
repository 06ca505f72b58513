"""`--detect` of `masklet segment` and `masklet track`: classes in every format, scores, resuming, and bad input."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import masklet
from masklet.cli.main import main
from masklet.errors import EXIT_STATUS, SettingsError
from masklet.formats import FORMATS, read_masks
from masklet.image_sets.image_files import SHARED_FORMATS
from masklet.segmenter import Segmenter
from support import gray_detector
from support.gray_detector import GrayDetector
from support.gray_world import Box, GrayWorld, draw_boxes

pytestmark = pytest.mark.usefixtures("gray_world")

CAR: Box = (2, 2, 12, 12)
PEDESTRIAN: Box = (30, 5, 42, 17)
DETECT = ("--detect", "car, pedestrian", "--detector", "support.gray_detector:make_gray_detector")
READABLE = ("png", "sav", "coco", "ytvis", "yolo", "labelme", "cvat", "mots", "npz")


def write(path: Path, boxes: Mapping[int, Box]) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(draw_boxes(boxes)).save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images: a car and a pedestrian, a car, and nothing that is known."""
    folder = tmp_path / "images"
    write(folder / "a.png", {80: CAR, 160: PEDESTRIAN, 9: (0, 38, 60, 40)})
    write(folder / "b.png", {80: (40, 20, 55, 35)})
    write(folder / "c.png", {9: CAR})
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder of nine frames: a car that moves, and from frame 3 on a pedestrian."""
    for t in range(9):
        x0, y0, x1, y1 = CAR
        pedestrian = {160: PEDESTRIAN} if t >= 3 else {}
        write(tmp_path / "clip" / f"{t:03d}.png", {80: (x0 + t, y0, x1 + t, y1), **pedestrian})
    return tmp_path / "clip"


def run(*words: str | Path) -> int:
    status = main([*map(str, words)])
    assert status != 1
    return status


def labels_of(path: Path) -> dict[tuple[int, int], str | None]:
    """Return the label of each visible object by frame and horizontal position of its mask, which every format has."""
    return {
        (frame.index, int(mask.boxes[0, 0])): mask.labels[0]
        for frame in read_masks(path)
        for mask in frame.masks
        if mask.areas[0]
    }


@pytest.mark.slow
def test_images_have_classes_in_every_format(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    names = ["png", "overlay", "rle", "npz", *SHARED_FORMATS]
    assert run("segment", images, *DETECT, "--format", ",".join(names), "--out", out, "--json") == 0
    first, second, third = json.loads(capsys.readouterr().out)["pictures"]
    assert [(one["id"], one["label"]) for one in first["objects"]] == [(1, "car"), (2, "pedestrian")]
    assert first["objects"][1]["detection"] == {"score": 0.9, "box": [*PEDESTRIAN]}
    assert first["objects"][1]["box"] == [*PEDESTRIAN] and third["objects"] == []
    assert [one["label"] for one in second["objects"]] == ["car"]
    expected = {(0, 2): "car", (0, 30): "pedestrian", (1, 40): "car"}
    for name in ("png", "rle", "npz"):
        found = labels_of(Path(first["files"][name]))
        assert {place[1]: label for place, label in found.items()} == {2: "car", 30: "pedestrian"}, name
    for name, form in SHARED_FORMATS.items():
        if form.read:
            assert labels_of(form.path_in(out)) == expected, name
    with SHARED_FORMATS["csv"].path_in(out).open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["car", "pedestrian", "car"]


def test_classes_and_scores_are_printed(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("segment", images, *DETECT, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "object 2 (pedestrian)  score 1.00  detection 0.90" in printed.out
    assert "car: 2 in 2 of 3 images" in printed.err and "pedestrian: 1 in 1 of 3 images" in printed.err
    assert "nothing found in 1 of 3 images" in printed.err


def test_a_run_over_images_resumes_with_its_scores(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("segment", images, *DETECT, "--format", "coco", "--out", tmp_path / "out", "--json")
    run(*words)
    before = json.loads(capsys.readouterr().out)["pictures"]
    monkeypatch.setattr(GrayDetector, "__call__", lambda self, image: 1 // 0)
    assert run(*words, "--resume") == 0
    after = json.loads(capsys.readouterr().out)["pictures"]
    assert [one["objects"] for one in after] == [one["objects"] for one in before]
    assert run(*words, "--resume", "--detect-score", "0.5") == EXIT_STATUS["resume-mismatch"]


def test_a_detection_below_the_score_is_no_object(images: Path, tmp_path: Path) -> None:
    words = ("segment", images / "a.png", *DETECT, "--format", "rle", "--out", tmp_path / "out", "--detect-score")
    assert run(*words, "0.95") == 0
    assert labels_of(tmp_path / "out" / "a.json") == {}
    assert run(*words, "0.9", "--overwrite") == 0
    assert len(labels_of(tmp_path / "out" / "a.json")) == 2


@pytest.mark.slow
def test_videos_have_classes_in_every_format(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    formats = ",".join([*READABLE, "csv", "overlay"])
    assert run("track", clip, *DETECT, "--detect-every", "2", "--format", formats, "--out", out, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    objects = [(one["id"], one["label"], one["first_frame"], one["detection_score"]) for one in record["objects"]]
    assert objects == [(1, "car", 0, 0.9), (2, "pedestrian", 4, 0.9)]
    expected = {**{(t, 2 + t): "car" for t in range(9)}, **{(t, 30): "pedestrian" for t in range(4, 9)}}
    for name in READABLE:
        assert labels_of(FORMATS[name].path_in(out)) == expected, name
    with FORMATS["csv"].path_in(out).open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {"car", "pedestrian"}


def test_a_track_resumes_with_its_objects(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("track", clip, *DETECT, "--detect-every", "2", "--format", "coco")
    assert run(*words, "--out", tmp_path / "whole") == 0
    assert "object 2 (pedestrian)  frames 4 to 8  detection 0.90" in capsys.readouterr().out
    assert run(*words, "--out", tmp_path / "parts", "--stop", "5") == 0
    assert run(*words, "--out", tmp_path / "parts", "--resume") == 0
    whole, parts = (labels_of(FORMATS["coco"].path_in(tmp_path / name)) for name in ("whole", "parts"))
    assert whole == parts
    assert run(*words, "--out", tmp_path / "parts", "--resume", "--detect-misses", "2") == 78


def test_a_track_drops_what_the_detector_misses(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    detect = GrayDetector.__call__
    monkeypatch.setattr(GrayDetector, "__call__", lambda self, image: detect(self, image)[: self.calls == 1])
    options = ("--detect-every", "2", "--detect-misses", "2", "--out", tmp_path / "out", "--json")
    assert run("track", clip, *DETECT, *options) == 0
    (car,) = json.loads(capsys.readouterr().out)["objects"]
    assert (car["label"], car["last_frame"]) == ("car", 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--detect", " , ", "--detector", "x"], "names no class"),
        (["--detect", "", "--detector", "x"], "names no class"),
        (["--detect", "cat"], "--detect needs --detector"),
        (["--detector", "x"], "--detector needs --detect TEXT"),
        (["--detect-score", "0.5"], "--detect-score needs --detect TEXT"),
        (["--detect", "cat", "--detector", "no/such/folder"], "there is no folder no/such/folder"),
        (["--detect", "cat", "--detector", "no_such_module:x"], "no Python module no_such_module"),
        (["--detect", "cat", "--detector", "x", "--detect-score", "7"], "must be above 0 and at most 1"),
        ([*DETECT, "--point", "3,3"], "leave out"),
    ],
)
@pytest.mark.parametrize("command", ["segment", pytest.param("track", marks=pytest.mark.slow)])
def test_bad_options_are_refused(
    command: str, words: list[str], message: str, images: Path, clip: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from masklet.detectors import zero_shot

    monkeypatch.setattr(zero_shot, "find_spec", lambda name: name)
    source = images if command == "segment" else clip
    status = run(command, source, *words, "--out", tmp_path / "out")
    printed = capsys.readouterr().err
    assert message in printed and status in (2, 65, 66), printed
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_options_that_need_prompts_are_refused(images: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("segment", images, *DETECT, "--multimask") == 2
    assert run("segment", images, *DETECT, "--references", "x.json") == 2
    assert run("track", clip, *DETECT, "--direction", "both") == 2
    assert run("track", clip, "--point", "3,3", "--detect-every", "3") == 2
    assert run("track", "--project", clip, "--detect", "cat") == 2
    assert "--detect cannot be combined with --project" in capsys.readouterr().err


def test_a_failure_of_the_detector_is_the_error_of_its_image(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    detect = GrayDetector.__call__

    def fail_on_unknown(self: Any, image: Any) -> Any:
        found = detect(self, image)
        return found if len(found) else ([(0, 0, np.nan, 5)], ["car"], [0.5])

    monkeypatch.setattr(GrayDetector, "__call__", fail_on_unknown)
    assert run("segment", images, *DETECT, "--out", tmp_path / "out", "--json") == 3
    first, second, third = json.loads(capsys.readouterr().out)["pictures"]
    assert len(first["objects"]) == 2 and len(second["objects"]) == 1
    assert third["error"]["code"] == "bad-detections" and "c.png" in third["error"]["message"]


def test_python_detects_and_segments(images: Path, tmp_path: Path) -> None:
    model, detector = Segmenter(GrayWorld()), gray_detector.make_gray_detector(("car", "pedestrian"))
    masks, detections = model.detect(images / "a.png", detector)
    assert masks.labels == detections.labels == ("car", "pedestrian") and masks.object_ids == (1, 2)
    assert masks.boxes.tolist() == detections.boxes.tolist() == [[*CAR], [*PEDESTRIAN]]
    assert len(model.detect(images / "c.png", detector).masks) == 0
    assert len(model.detect(images / "a.png", detector, min_score=0.95).masks) == 0
    paths = sorted(images.glob("*.png"))
    results = [*masklet.segment_images(model, paths, detector, tmp_path / "out", ["coco"])]
    assert [len(one.detections) for one in results] == [2, 1, 0]
    with pytest.raises(SettingsError, match="pass prompts"):
        masklet.segment_images(model, paths, detector, tmp_path / "out", references=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--detect-score", "0.5"], 2, "--detect-score needs --detector"),
        (["--detector", "x/y", "--detect-score", "0"], 2, "must be above 0"),
        (["--detector", "no/such/folder"], 66, "there is no folder no/such/folder"),
        (["--detector", "no_such_module:x"], 66, "no Python module no_such_module"),
    ],
)
def test_the_studio_checks_its_detector_before_it_starts(
    words: list[str], status: int, message: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from masklet.detectors import zero_shot

    monkeypatch.setattr(zero_shot, "find_spec", lambda name: name)
    assert run("studio", images, "--project", tmp_path / "project", *words) == status
    assert message in capsys.readouterr().err and not (tmp_path / "project").exists()

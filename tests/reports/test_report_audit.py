"""Reports of the second audit: inputs of newcomers, converters and Python users that were read wrongly or unclearly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import masklet
from masklet.cli.main import main
from masklet.errors import FormatError, ImageError, MaskletWarning, ResourceError, SettingsError
from masklet.formats import read_masks
from masklet.train.presets import PRESETS
from masklet.train.settings import Settings
from masklet.train.settings_input import change_settings, parse_setting, read_toml
from masklet.video import cameras
from support.annotation_samples import (
    make_coco,
    make_coco_annotation,
    make_labelme,
    make_shape,
    read_areas,
    write_json,
    write_photo,
    write_text,
)
from support.dataset_layouts import write_coco

SQUARE = "0.125 0.166667 0.375 0.166667 0.375 0.5 0.125 0.5"  # 400 pixels
HUGE = 10**400  # no floating-point number


def write_yolo(folder: Path, *lines: str) -> Path:
    write_photo(folder / "images/a.jpg")
    write_text(folder / "data.yaml", "names:\n  0: a\n")
    write_text(folder / "labels/a.txt", "\n".join(lines))
    return folder


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("0 10 10 30 10 30 30 10 30", id="pixels"),
        pytest.param("0 20 20 20 20", id="a box in pixels"),
        pytest.param("0 0.5 0.5 -0.5 0.5", id="negative width"),
        pytest.param("0 0.5 0.5 0.5 -0.5", id="negative height"),
    ],
)
def test_yolo_shapes_that_are_no_fractions_of_the_image_are_skipped(line: str, tmp_path: Path) -> None:
    path = write_yolo(tmp_path, f"0 {SQUARE}", line)
    with pytest.warns(MaskletWarning, match=r"skipped 1 line: 1 broken \(.*a\.txt, line 2: expected a class"):
        assert read_areas(path) == [[400]]


def test_yolo_shapes_may_extend_beyond_the_image(tmp_path: Path) -> None:
    assert read_areas(write_yolo(tmp_path, "0 0.5 0.5 3 3", "0 -1 0 1 0 1 1 -1 1")) == [[4800, 4800]]


@pytest.mark.parametrize(
    "text", ["<annotation><object><name>dog</name></object></annotation>", "<svg xmlns='http://www.w3.org/2000/svg'/>"]
)
def test_xml_of_other_formats_is_not_a_cvat_file_without_objects(text: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.xml", text)
    with pytest.raises(FormatError, match=r"not a CVAT annotation file: its root element is <(annotation|svg)>"):
        list(read_masks(path))


@pytest.mark.parametrize("other", [5, None, "click", (3, 4)])
def test_a_prompt_is_combined_with_prompts_only(other: object) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        masklet.click(3, 3) + other  # type: ignore[operator]


@pytest.mark.parametrize("value", ["auto", "01", (0, 1, 2), (0,), 5, ("a", "b"), (None, 1), (0, float("inf"))])
def test_a_range_of_values_is_two_ascending_numbers(value: object) -> None:
    image = np.zeros((4, 4), np.float32)
    with pytest.raises(SettingsError, match="value_range must be") as error:
        masklet.read_image(image, value_range=value)  # type: ignore[arg-type]
    assert error.value.code == "bad-usage"


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (65_536, 1)])
def test_a_pil_image_has_sides_that_are_read(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"the PIL image is .* sides must be from 1") as error:
        masklet.read_image(Image.new("RGB", size))
    assert error.value.code == "bad-dimensions"


def test_resume_writes_files_of_images_that_are_empty(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png")
    write_photo(tmp_path / "b.png")
    command = ["segment", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--box", "10,10,30,30", "--zoom", "0"]
    command += ["--input-size", "128", "--format", "png,rle,overlay", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    whole = {path: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert len(whole) == 6
    for path in whole:
        path.write_bytes(b"")
    assert main([*command, "--resume"]) == 0
    assert {path: path.read_bytes() for path in whole} == whole


def test_objects_that_are_too_small_for_the_mask_generator_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_coco(tmp_path / "data")
    words = ["evaluate", "everything", str(tmp_path / "data"), "--input-size", "64", "--points-per-side", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "1 selected images have no object of at least 1024 pixels; select others" in capsys.readouterr().err


def test_a_current_folder_that_was_removed_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_photo(tmp_path / "a.png")
    removed = tmp_path / "removed"
    removed.mkdir()
    monkeypatch.chdir(removed)
    removed.rmdir()
    for path in ("../a.png", str(image)):
        assert main(["segment", path, "--point", "3,3", "--out", str(tmp_path / "out")]) == 66
        assert "the current folder does not exist any more; change to another one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("coco.json", make_coco([make_coco_annotation(1, [[HUGE, 10, 30, 10, 30, 30]])])),
        ("a.json", make_labelme([make_shape("a", [[10, 10], [-HUGE, 10], [30, 30]])])),
        ("a.json", make_labelme([make_shape("a", [[10, 10], [HUGE, 30]], "rectangle")])),
        ("a.json", make_labelme([make_shape("a", [[10, 10], [HUGE, 30]], "circle")])),
    ],
    ids=["coco", "polygon", "rectangle", "circle"],
)
def test_coordinates_of_hundreds_of_digits_are_refused(name: str, content: object, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"points|pairs of numbers"):
        list(read_masks(write_json(tmp_path / name, content)))


def test_boxes_of_hundreds_of_digits_are_refused(tmp_path: Path) -> None:
    boxes = make_coco([make_coco_annotation(1, bbox=[HUGE, 1, 2, 3])])
    with pytest.raises(FormatError, match=r"a bbox must be \[x, y, width, height\]"):
        masklet.read_prompts(write_json(tmp_path / "boxes.json", boxes), [write_photo(tmp_path / "a.jpg")])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"minutes={HUGE}", "minutes must be from 0 to .*, got inf"),
        (f"learning_rate=-{HUGE}", "learning_rate must be from .*, got -inf"),
        (f"minutes={'9' * 5000}", "minutes must be a number"),
        (f"minutes={'[' * 5000}", "minutes must be a number"),
    ],
    ids=["whole", "negative", "too long to convert", "nested"],
)
def test_settings_of_hundreds_of_digits_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        change_settings(Settings(), dict([parse_setting(text)]))


@pytest.mark.parametrize("text", [f"minutes = {'9' * 5000}", f"minutes = {'[' * 5000}"], ids=["long", "nested"])
def test_a_settings_file_that_toml_cannot_parse_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not TOML"):
        read_toml(write_text(tmp_path / "a.toml", text))


@pytest.mark.parametrize("number", [65_536, HUGE], ids=["65536", "huge"])
def test_points_per_side_have_a_limit(number: int) -> None:
    with pytest.raises(SettingsError, match="points_per_side must be at most 65535, got more"):
        masklet.MaskGeneratorOptions(points_per_side=number)


def test_presets_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "list", "--json"]) == 0
    listed = {record["name"]: record["settings"] for record in json.loads(capsys.readouterr().out)}
    assert listed.keys() == PRESETS.keys()
    assert listed["lite-images"]["model"] == "lite0"


@pytest.mark.parametrize("index", [-1, 100, 10**20, True, 1.5, "0", "clip.mp4", None])
def test_a_camera_is_a_number_that_opencv_takes_for_one(index: object, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(cameras, "OpenCvSource", lambda *arguments: opened.append(arguments))
    with pytest.raises(ResourceError, match="a camera is a number from 0 to 99, got") as error:
        masklet.camera(index)  # type: ignore[arg-type]
    assert error.value.code == "camera-not-found" and opened == []


def test_a_negative_number_is_no_video() -> None:
    with pytest.raises(ResourceError, match="a camera is a number from 0 to 99, got -1"):
        masklet.open_video(-1)


def make_frame(index: int, time: float | None = None) -> masklet.TrackedFrame:
    masks = masklet.Masks.from_binary(np.ones((1, 4, 4), bool), object_ids=(1,))
    return masklet.TrackedFrame(index, time, masks)


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([make_frame(3, 0.1), make_frame(3, 0.1)], "frame 3 is there twice; pass each frame once"),
        ([make_frame(3, float("nan"))], "frame 3 has the time nan; pass None if it is unknown"),
        ([make_frame(3).masks], r"a Masks is no frame; pass masklet\.TrackedFrame"),
        ([None], "a NoneType is no frame"),
    ],
    ids=["twice", "time", "masks", "none"],
)
def test_frames_that_cannot_be_saved_are_refused(frames: list[Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=complaint):
        masklet.save_masks(frames, tmp_path / "out", ["coco", "png"])
    assert not (tmp_path / "out").exists()


def test_a_tracker_steps_in_two_directions() -> None:
    tracker = masklet.load(zoom=0, input_size=64).tracker(masklet.open_video(np.zeros((2, 20, 30, 3), np.uint8)))
    tracker.prompt(0, {1: masklet.box(3, 3, 20, 15)})
    with pytest.raises(SettingsError, match="direction must be 1 or -1, got 5"):
        tracker.step(1, direction=5)

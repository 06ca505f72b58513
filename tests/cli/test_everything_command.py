"""`masklet everything`: masks of images, automatic tracking in a video, and exit statuses."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from masklet.cli import track_run
from masklet.cli.main import main
from masklet.formats import read_masks
from masklet.jobs import resume
from masklet.masks import rle
from masklet.masks.mask_reader import read_mask
from masklet.predict.generated_masks import GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.segmenter import Segmenter
from support.gray_world import Box, draw_boxes
from support.video_formats import VIDEO_FORMATS

OBJECTS: dict[int, Box] = {50: (2, 2, 12, 12), 80: (20, 5, 50, 35), 90: (30, 10, 40, 20)}
GRID = ["--points-per-side", "10"]


@pytest.fixture
def street(tmp_path: Path) -> Path:
    path = tmp_path / "street.png"
    Image.fromarray(draw_boxes(OBJECTS)).save(path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder of twenty frames: one object moves, another is visible from frame 5 to frame 9."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for t in range(20):
        other: dict[int, Box] = {90: (30, 5, 42, 17)} if 5 <= t < 10 else {}
        Image.fromarray(draw_boxes({50: (2 + t, 20, 14 + t, 32), **other})).save(folder / f"{t:03d}.png")
    return folder


def run(*words: str | Path) -> int:
    status = main(["everything", *map(str, words)])
    assert status != 1
    return status


def read_json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("gray_world")
def test_every_format_of_an_image_reads_back(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(street, *GRID, "--format", "sa1b,rle,coco,png,overlay", "--out", out, "--json") == 0
    (record,) = read_json(capsys)["pictures"]
    areas = [one["area"] for one in record["found"]]
    assert sorted(areas) == [100, 100, 800]
    assert record["covered"] == pytest.approx(1000 / 2400, abs=1e-4)
    for name in ("sa1b", "rle", "coco"):
        (frame,) = read_masks(record["files"][name])
        assert frame.masks.areas.tolist() == areas, name
    assert Image.open(record["files"]["overlay"]).size == (60, 40)
    labels = read_mask(record["files"]["png"])
    assert np.unique(labels).tolist() == [0, 1, 2, 3]


@pytest.mark.usefixtures("gray_world")
def test_the_coco_file_has_all_images(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(np.ascontiguousarray(draw_boxes({70: (5, 5, 35, 25)})[:, :50])).save(other)
    assert run(street, other, *GRID, "--format", "coco", "--out", tmp_path / "out") == 0
    assert capsys.readouterr().out.splitlines()[0].startswith(f"{street}  3 masks  42 % of the image")
    data = COCO(str(tmp_path / "out" / "coco.json"))
    assert {row["file_name"]: (row["height"], row["width"]) for row in data.dataset["images"]} == {
        "street.png": (40, 60),
        "other.png": (40, 50),
    }
    (one,) = [row for row in data.dataset["annotations"] if row["image_id"] == 2]
    assert data.annToMask(one)[5:25, 5:35].all() and one["area"] == 600


@pytest.mark.usefixtures("gray_world")
@pytest.mark.parametrize(("mode", "names"), [("copy", ["b.png", "street.png"]), ("jpg", ["b.jpg", "street.jpg"])])
def test_images_are_written_beside_the_coco_file(mode: str, names: list[str], street: Path, tmp_path: Path) -> None:
    other, broken, out = tmp_path / "b.png", tmp_path / "a.png", tmp_path / "out"
    Image.fromarray(np.ascontiguousarray(draw_boxes(OBJECTS)[:, :50])).save(other)
    broken.write_bytes(street.read_bytes()[:90])
    words = (broken, other, street, *GRID, "--format", "coco,csv", "--frames", mode, "--out", out)
    assert run(*words) == 3
    data = json.loads((out / "coco.json").read_text())
    assert [row["file_name"] for row in data["images"]] == [f"images/{name}" for name in names]
    for row in data["images"]:
        with Image.open(out / row["file_name"]) as image:
            assert image.size == (row["width"], row["height"])
    if mode == "copy":
        assert (out / "images" / "street.png").read_bytes() == street.read_bytes()
    (out / "coco.json").unlink()
    (out / "measurements.csv").unlink()
    assert run(*words) == 73
    assert run(*words, "--overwrite") == 3


@pytest.mark.usefixtures("gray_world")
def test_images_are_not_written_into_the_folder_of_an_input(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    street.rename(image := tmp_path / "images" / "street.png")
    before = image.read_bytes()
    words = (image, *GRID, "--format", "coco", "--frames", "png", "--out", tmp_path, "--overwrite")
    assert run(*words) == 2
    assert "write to another folder with --out" in capsys.readouterr().err
    assert image.read_bytes() == before and [*image.parent.iterdir()] == [image]


@pytest.mark.usefixtures("gray_world")
def test_a_job_is_resumed_to_a_later_end(clip: Path, tmp_path: Path) -> None:
    words = (clip, *GRID, "--look-every", "5", "--format", "png,coco,csv")
    assert run(*words, "--out", tmp_path / "whole") == 0
    assert run(*words, "--out", tmp_path / "out", "--stop", "4") == 0
    assert run(*words, "--out", tmp_path / "out", "--stop", "12", "--resume") == 0
    assert run(*words, "--out", tmp_path / "out", "--resume") == 0
    for name in ("coco.json", "measurements.csv", "png/019.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.usefixtures("gray_world")
def test_frames_of_a_video_are_written_and_need_a_format(clip: Path, tmp_path: Path) -> None:
    words = (clip, *GRID, "--stop", "2", "--frames", "copy", "--out", tmp_path / "out")
    assert run(*words, "--format", "png") == 2
    assert run(*words, "--format", "coco") == 0
    assert sorted(path.name for path in (tmp_path / "out" / "frames").iterdir()) == ["000.png", "001.png"]


@pytest.mark.usefixtures("gray_world")
def test_options_are_those_of_the_mask_generator(street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[MaskGeneratorOptions] = []

    def everything(self: Segmenter, image: Any, search: MaskGeneratorOptions, **more: Any) -> GeneratedMasks:
        received.append(search)
        return GeneratedMasks((40, 60), ())

    monkeypatch.setattr(Segmenter, "generate_masks", everything)
    options = {"pred_iou_thresh": 0.2, "stability_score_thresh": 0.1, "stability_score_offset": 0.5,
               "mask_threshold": 0.1, "box_nms_thresh": 0.9, "crop_n_layers": 1, "crop_nms_thresh": 0.8,
               "crop_overlap_ratio": 0.2, "crop_n_points_downscale_factor": 2, "min_mask_region_area": 4,
               "points_per_batch": 5, "points_per_side": 4}  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert run(street, *words, "--use-m2m", "--no-multimask-output", "--out", tmp_path / "out") == 0
    assert run(street, "--out", tmp_path / "default") == 0
    assert received == [MaskGeneratorOptions(**options, use_m2m=True, multimask_output=False), MaskGeneratorOptions()]  # type: ignore[arg-type]
    assert len(options) + 2 == len(fields(MaskGeneratorOptions)) - 1  # all but point_grids, see below


@pytest.mark.usefixtures("gray_world")
def test_point_grids_come_from_a_file(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grids = tmp_path / "grids.json"
    grids.write_text(json.dumps([[[0.1, 0.1]]]))
    assert run(street, "--point-grids", grids, "--out", tmp_path / "out", "--json") == 0
    (one,) = read_json(capsys)["pictures"][0]["found"]
    assert (one["box"], one["point"]) == ([2, 2, 12, 12], [6.0, 4.0])
    for text in ("{", "[]", "[[1, 2]]", "[[[0.5, 7]]]", '"ab"', f"[[[{10**400}, 1]]]"):
        grids.write_text(text)
        assert run(street, "--point-grids", grids, "--out", tmp_path / "other") == 2, text


@pytest.mark.usefixtures("gray_world")
def test_an_image_that_cannot_be_read_does_not_stop_the_others(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(street.read_bytes()[:60])
    assert run(broken, street, *GRID, "--out", tmp_path / "out", "--json") == 3
    first, second = read_json(capsys)["pictures"]
    assert first["error"]["code"] == "image-truncated" and len(second["found"]) == 3
    assert run(broken, *GRID, "--out", tmp_path / "alone") == 65
    assert run(tmp_path / "nowhere.png", street, *GRID, "--out", tmp_path / "rest", "--json") == 3
    first, second = read_json(capsys)["pictures"]
    assert first["error"]["code"] == "input-not-found" and len(second["found"]) == 3


@pytest.mark.usefixtures("gray_world")
@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["street.png", "--patience", "3"], 2, "--patience applies to a video, but 'street.png' is an image"),
        (["street.png", "--format", "yolo"], 2, "unknown format 'yolo'; formats are sa1b, rle"),
        (["clip", "--format", "sa1b"], 2, "unknown format 'sa1b'"),
        (["street.png", "clip"], 2, "expected images or one video"),
        (["street.png", "street.png", "--points-per-side", "0"], 2, "points-per-side"),
        (["nowhere.png"], 66, "nowhere.png does not exist"),
        (["street.png", "--crop-overlap-ratio", "1"], 2, "crop_overlap_ratio must be in [0, 1)"),
        (["street.png", "--point-grids", "no.json"], 66, "no.json does not exist"),
        (["clip", "--uncovered", "0"], 2, "--uncovered must be above 0"),
        (["clip", "--resume", "--overwrite"], 2, "choose one"),
        (["clip", "--start", "99"], 2, "no frames to visit"),
    ],
)
def test_wrong_options_end_with_one_error(
    words: list[str], status: int, message: str, street: Path, clip: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(*words) == status
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "street.png"]


@pytest.mark.usefixtures("gray_world")
def test_existing_output_is_replaced_only_with_overwrite(street: Path, tmp_path: Path) -> None:
    words = [street, *GRID, "--format", "sa1b,coco", "--out", tmp_path / "out"]
    assert run(*words) == 0
    assert run(*words) == 73
    assert run(*words, "--overwrite") == 0


VIDEO = [*GRID, "--look-every", "4", "--patience", "3"]


@pytest.mark.usefixtures("gray_world")
def test_a_video_is_written_in_every_format(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(clip, *VIDEO, "--format", ",".join(VIDEO_FORMATS), "--out", tmp_path / "out", "--json") == 0
    record = read_json(capsys)
    assert [(one["id"], one["first_frame"], one["last_frame"]) for one in record["objects"]] == [(1, 0, 19), (2, 8, 9)]
    for name, form in VIDEO_FORMATS.items():
        assert Path(record["files"][name]).exists()
        if form.read:
            frames = {frame.index: frame.masks for frame in read_masks(record["files"][name])}
            assert frames[8].of(2).binary[0][5:17, 30:42].mean() > 0.8, name  # outlines are not exact
    assert (
        rle.compute_area(json.loads((tmp_path / "out/coco.json").read_text())["annotations"][0]["segmentation"]) == 144
    )


@pytest.mark.usefixtures("gray_world")
@pytest.mark.parametrize("share", [0.0, 1e9], ids=["from an early state", "from the last state"])
@pytest.mark.parametrize("stopped_after", [6, 13])
def test_an_interrupted_run_resumes_with_the_same_masks_and_ids(
    stopped_after: int, share: float, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SAVE_TIME_SHARE", share)  # of the time that may go into writing states
    words = [clip, *VIDEO, "--format", "png,coco", "--out"]
    assert run(*words, tmp_path / "whole") == 0
    append, done = track_run.FrameLog.append, []

    def interrupted(self: Any, frame: Any) -> None:
        if len(done) == stopped_after:
            raise KeyboardInterrupt
        append(self, frame)
        done.append(frame)

    monkeypatch.setattr(track_run.FrameLog, "append", interrupted)
    assert run(*words, tmp_path / "parts") == 130
    monkeypatch.setattr(track_run.FrameLog, "append", append)
    assert run(*words, tmp_path / "parts", "--resume") == 0
    assert (tmp_path / "parts/coco.json").read_bytes() == (tmp_path / "whole/coco.json").read_bytes()
    assert run(*words, tmp_path / "parts", "--resume", "--patience", "4") == 78  # another job

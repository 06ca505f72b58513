"""Sets of images: folders and patterns, prompts of each image, formats that hold all images, and resuming."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.formats import masks_at, read_masks
from masklet.formats.image_dataset import group_by_label
from masklet.predict.embedded_image import EmbeddedImage
from masklet.segmenter import Segmenter
from support.dataset_layouts import write_json
from support.gray_world import draw_boxes

AREAS = {"a.png": (64, 120), "b2.png": (64, 110), "b10.png": (64, 100)}  # of the boxes of gray value 50 and 90
TWO = ["--point", "4,4#1", "--label", "sky#1", "--point", "25,25#2", "--label", "card#2"]


@pytest.fixture
def folder(tmp_path: Path, gray_world: None) -> Path:
    """A folder of three images of two gray boxes, and files that are not images."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(AREAS):
        Image.fromarray(draw_boxes({50: (0, 0, 8, 8), 90: (20, 20, 32 - number, 30)})).save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A list with an item for each prediction."""
    calls: list[None] = []
    predict = EmbeddedImage.predict

    def count(self: EmbeddedImage, *arguments: Any, **options: Any) -> Any:
        calls.append(None)
        return predict(self, *arguments, **options)

    monkeypatch.setattr(EmbeddedImage, "predict", count)
    return calls


def run(*words: str | Path) -> int:
    status = main(["segment", *map(str, words)])
    assert status != 1
    return status


def read_records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["pictures"]
    return records


def contents(out: Path) -> dict[str, bytes]:
    """The content of each file by its path, without the log."""
    files = [path for path in out.rglob("*") if path.is_file() and ".masklet" not in path.parts]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def areas_of(path: Path) -> list[list[int]]:
    return [sorted(frame.masks.areas.tolist()) for frame in read_masks(path)]


def test_all_images_are_one_dataset_in_each_format(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    formats = "png,coco,yolo,labelme,cvat,csv"
    assert run(folder, *TWO, "--out", out, "--format", formats, "--json") == 0
    records = read_records(capsys)
    for record in records:
        name = Path(record["picture"]).name
        assert record["files"] == {
            "png": str(out / name),
            "coco": str(out / "coco.json"),
            "yolo": str(out / "yolo"),
            "labelme": str(out / "labelme"),
            "cvat": str(out / "cvat.xml"),
            "csv": str(out / "measurements.csv"),
        }
        assert tuple(np.bincount(np.asarray(Image.open(out / name)).ravel())[1:]) == AREAS[name]
    assert [sorted(area) for area in AREAS.values()] == areas_of(out / "coco.json")
    coco = json.loads((out / "coco.json").read_text())
    assert [Path(image["file_name"]).name for image in coco["images"]] == [*AREAS]
    assert {category["name"] for category in coco["categories"]} == {"sky", "card"}
    for name in ("yolo", "labelme", "cvat.xml"):
        labels = {label for frame in read_masks(out / name) for label in frame.masks.labels}
        assert (labels, areas_of(out / name)) == ({"sky", "card"}, areas_of(out / "coco.json")), name
    assert {path.name for path in (out / "labelme").iterdir()} >= {"a.json", "a.png", "b2.json", "b10.json"}
    assert {path.name for path in (out / "yolo/images").iterdir()} == {*AREAS}
    with (out / "measurements.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["image"], row["label"], int(row["area"])) for row in rows] == [
        (name, label, area) for name, both in AREAS.items() for label, area in zip(("sky", "card"), both, strict=True)
    ]


def test_an_object_with_two_labels_has_two_ids_in_a_dataset(folder: Path, tmp_path: Path) -> None:
    rows = [{"image": name, "points": [[4, 4, 1]], "label": label} for name, label in zip(AREAS, "xyx", strict=True)]
    file = write_json(tmp_path / "prompts.json", rows)
    assert run(folder, "--prompts", file, "--out", tmp_path / "out", "--format", "coco,png") == 0
    found = [(frame.masks.object_ids, frame.masks.labels) for frame in read_masks(tmp_path / "out/coco.json")]
    assert found == [((1,), ("x",)), ((2,), ("y",)), ((1,), ("x",))]
    assert masks_at(tmp_path / "out/b2.png").object_ids == (1,)
    assert group_by_label({(0, 1): "x", (1, 1): None}) == {(0, 1): 1, (1, 1): 2}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("photos/*.png", ["a.png", "b2.png", "b10.png"]),
        ("photos/b*", ["b2.png", "b10.png"]),
        ("photos/[ab]2.png", ["b2.png"]),
        ("photo?", ["a.png", "b2.png", "b10.png"]),
        ("photos/*", ["a.png", "b2.png", "b10.png"]),
        ("**/b?.png", ["b2.png"]),
    ],
)
def test_a_pattern_names_the_images_that_match(
    pattern: str,
    names: list[str],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(pattern, "--point", "4,4", "--format", "png", "--out", ".out", "--json") == 0
    assert [Path(record["picture"]).name for record in read_records(capsys)] == names
    assert run(str(tmp_path / pattern), "--point", "4,4", "--format", "png", "--out", ".absolute") == 0


def test_a_pattern_that_matches_nothing_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder / "*.jpg", "--point", "4,4") == 66
    assert "no image matches" in capsys.readouterr().err


def test_a_file_whose_name_has_wildcards_is_a_file(folder: Path, tmp_path: Path) -> None:
    (folder / "b2.png").rename(folder / "b[2].png")
    assert run(folder / "b[2].png", "--point", "4,4", "--format", "png", "--out", tmp_path / "out") == 0
    assert (tmp_path / "out/b[2].png").is_file()


def test_a_csv_file_has_a_box_or_a_click_in_each_row(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.csv").write_text(
        "image,object,label,x0,y0,x1,y1,x,y,positive\n"
        "a.png,2,card,18,18,34,32,,,\n"
        "photos/b10.png,7,,,,,,4,4,1\n"
        "photos/b10.png,7,sky,,,,,25,25,0\n"
        "\n"
        'a.png,,"a, b",,,,,4,4,\n'
    )
    words = [folder, "--prompts", tmp_path / "prompts.csv", "--format", "rle", "--out", tmp_path / "out", "--json"]
    assert run(*words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["skipped"] == 1
    assert {
        (Path(record["picture"]).name, one["id"], one["label"], one["area"])
        for record in summary["pictures"]
        for one in record["objects"]
    } == {("a.png", 2, "card", 120), ("a.png", 1, "a, b", 64), ("b10.png", 7, "sky", 64)}


def write_coco(path: Path, annotations: list[dict[str, Any]], **image: Any) -> Path:
    """Write a COCO file with all images and one more, in a folder of another name."""
    images = [{"id": 10 * n, "file_name": f"train2017/{name}", **image} for n, name in enumerate([*AREAS, "other.png"])]
    categories = [{"id": 1, "name": "sky"}, {"id": 2, "name": "card"}]
    rows = [{"id": 100_000 + n, **annotation} for n, annotation in enumerate(annotations)]
    return write_json(path, {"images": images, "annotations": rows, "categories": categories})


def test_boxes_of_a_coco_file_are_prompts(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations: list[dict[str, Any]] = [
        {"image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9]},
        {"image_id": 0, "category_id": 2, "bbox": [18, 18, 16, 14]},
        {"image_id": 20, "category_id": 2, "bbox": [18.5, 18, 16, 14], "track_id": 7},
        {"image_id": 30, "category_id": 2, "bbox": [1, 1, 5, 5]},
        {"image_id": 20, "category_id": 2, "bbox": [0, 0, 60, 40], "iscrowd": 1},
        {"image_id": 20, "category_id": 2, "segmentation": []},
    ]
    file = write_coco(tmp_path / "instances.json", annotations)
    words = [folder, "--prompts", file, "--format", "rle", "--out", tmp_path / "out", "--json"]
    assert run(*words) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert {
        (Path(record["picture"]).name, one["id"], one["label"], one["area"])
        for record in summary["pictures"]
        for one in record["objects"]
    } == {("a.png", 1, "sky", 64), ("a.png", 2, "card", 120), ("b10.png", 7, "card", 100)}
    assert summary["skipped"] == 1
    assert "masklet: warning: " in printed.err
    assert "1 of images that are not part of the input (train2017/other.png)" in printed.err
    assert "1 of crowds" in printed.err and "1 without a box" in printed.err


def test_a_bad_image_is_reported_by_name_and_the_others_are_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b5.jpg").write_bytes(b"<html>")
    Image.fromarray(draw_boxes({})[:20]).save(folder / "b6.png")  # a click is outside
    out = tmp_path / "out"
    assert run(folder, *TWO, "--format", "png,coco", "--out", out, "--json") == 3
    printed = capsys.readouterr()
    failed = {
        Path(record["picture"]).name: record["error"]["code"]
        for record in json.loads(printed.out)["pictures"]
        if "error" in record
    }
    assert failed == {"b5.jpg": "unsupported-format", "b6.png": "bad-prompt"}
    lines = printed.err.splitlines()
    assert any(str(folder / "b5.jpg") in line and "[unsupported-format]" in line for line in lines)
    assert f"masklet: error: {folder / 'b6.png'}: (25, 25) lies outside the image of 60 × 20 pixels" in printed.err
    names = [image["file_name"] for image in json.loads((out / "coco.json").read_text())["images"]]
    assert names == [*AREAS]
    assert run(folder, *TWO, "--format", "png,coco", "--out", out, "--overwrite") == 3
    assert f"2 of 5 images failed: {folder / 'b5.jpg'}, {folder / 'b6.png'}" in capsys.readouterr().err


def test_a_finished_run_is_resumed_without_the_network(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], encoded: list[None]
) -> None:
    out = tmp_path / "out"
    words = [folder, *TWO, "--out", out, "--json"]
    assert run(*words, "--format", "png,overlay,coco") == 0
    first = read_records(capsys)
    assert len(encoded) == 3
    written = contents(out)
    assert run(*words, "--format", "png,overlay,coco") == 73
    assert f"{out} contains an earlier run" in capsys.readouterr().err
    (out / "b2.png").unlink()
    assert run(*words, "--format", "png,overlay,coco,yolo,labelme,cvat,csv,cutout,rle", "--resume") == 0
    again = read_records(capsys)
    assert len(encoded) == 3
    assert [record["objects"] for record in again] == [record["objects"] for record in first]
    assert all(record["resumed"] for record in again)
    assert written.items() <= contents(out).items()
    assert run(*words, "--format", "npz,blur", "--resume") == 0  # logits are not in the log
    assert len(encoded) == 6


def test_a_resumed_run_writes_what_an_uninterrupted_one_writes(
    folder: Path,
    tmp_path: Path,
    encoded: list[None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [folder, *TWO, "--format", "png,overlay,rle,coco,yolo,labelme,cvat,csv"]
    assert run(*words, "--out", tmp_path / "whole") == 0
    encoded.clear()
    predict = EmbeddedImage.predict

    def interrupt(self: EmbeddedImage, *arguments: Any, **options: Any) -> Any:
        if len(encoded) == 2:
            raise KeyboardInterrupt
        return predict(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedImage, "predict", interrupt)
        assert run(*words, "--out", tmp_path / "parts") == 130
    assert "finished images are saved; run the same command with --resume to continue" in capsys.readouterr().err
    assert len(encoded) == 2
    assert run(*words, "--out", tmp_path / "parts", "--resume") == 0
    assert len(encoded) == 3
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_resuming_segments_new_and_changed_images_only(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], encoded: list[None]
) -> None:
    out = tmp_path / "out"
    words = [folder, "--prompts", tmp_path / "p.json", "--format", "png,coco", "--out", out, "--json"]
    rows = [{"image": name, "points": [[4, 4, 1]]} for name in AREAS]
    write_json(tmp_path / "p.json", rows)
    assert run(*words) == 0
    Image.fromarray(draw_boxes({50: (0, 0, 30, 30)})).save(folder / "b2.png")
    Image.fromarray(draw_boxes({50: (0, 0, 20, 20)})).save(folder / "c.png")
    rows[2] = {"image": "b10.png", "points": [[25, 25, 1]]}
    write_json(tmp_path / "p.json", [*rows, {"image": "c.png", "points": [[4, 4, 1]]}])
    encoded.clear()
    capsys.readouterr()
    assert run(*words, "--resume") == 0
    records = read_records(capsys)
    assert [Path(record["picture"]).name for record in records if "resumed" in record] == ["a.png"]
    assert len(encoded) == 3
    assert areas_of(out / "coco.json") == [[64], [900], [100], [400]]
    assert [record["objects"][0]["area"] for record in records] == [64, 900, 100, 400]


def test_a_run_with_other_settings_is_not_resumed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [folder, *TWO, "--format", "coco", "--out", tmp_path / "out"]
    assert run(*words) == 0
    assert run(*words, "--resume", "--holes", "3") == 78
    assert "cleaning.fill_holes was 0, is 3" in capsys.readouterr().err
    assert run(*words, "--resume", "--overwrite") == 2
    assert run(*words, "--overwrite", "--holes", "3") == 0


def test_output_of_others_is_not_replaced(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/coco.json").write_text("{}")
    for words in ([folder], [folder, "--resume"], [folder / "a.png"]):
        assert run(*words, "--point", "4,4", "--format", "coco", "--out", tmp_path / "out") == 73
        assert "coco.json exists" in capsys.readouterr().err
    assert (tmp_path / "out/coco.json").read_text() == "{}"


def test_an_image_with_the_name_of_a_dataset_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b2.png").rename(folder / "coco.png")
    assert run(folder, *TWO, "--format", "rle,coco", "--out", tmp_path / "out") == 2
    assert "coco.json'; rename the image" in capsys.readouterr().err
    assert run(folder, *TWO, "--format", "png,coco", "--out", tmp_path / "out") == 0


def test_images_that_an_earlier_run_wrote_are_not_removed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(folder, *TWO, "--format", "yolo", "--out", out) == 0
    assert run(out / "yolo/images", *TWO, "--format", "yolo", "--out", out, "--overwrite") == 2
    assert "which an earlier run wrote" in capsys.readouterr().err
    assert len([*(out / "yolo/images").iterdir()]) == 3
    (folder / "a.png").unlink()
    assert run(folder, *TWO, "--format", "yolo", "--out", out, "--overwrite") == 0
    assert {path.name for path in (out / "yolo/labels").iterdir()} == {"b2.txt", "b10.txt"}


def test_candidates_are_not_written_as_a_dataset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--point", "4,4", "--multimask", "--format", "coco") == 2
    assert "the format coco has one mask for each object" in capsys.readouterr().err


def test_frames_of_a_set_are_linked_or_left_out(folder: Path, tmp_path: Path) -> None:
    words = [folder, *TWO, "--format", "coco,labelme"]
    assert run(*words, "--frames", "link", "--out", tmp_path / "link") == 0
    assert (tmp_path / "link/labelme/a.png").samefile(folder / "a.png")
    assert (tmp_path / "link/images/a.png").samefile(folder / "a.png")
    assert run(*words, "--frames", "none", "--out", tmp_path / "none") == 0
    assert {path.suffix for path in (tmp_path / "none/labelme").iterdir()} == {".json"}


def test_references_are_resumed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_json(tmp_path / "prompts.json", [{"image": "b2.png", "points": [[4, 4, 1]], "label": "sky"}])
    words = [folder, "--references", file, "--format", "coco", "--out", tmp_path / "out", "--json"]
    assert run(*words) == 0
    first = read_records(capsys)
    with monkeypatch.context() as patch:
        patch.setattr(Segmenter, "references", None)
        assert run(*words, "--resume") == 0
    again = read_records(capsys)
    assert [(record["objects"], record["reference"]) for record in again] == [
        (record["objects"], record["reference"]) for record in first
    ]
    assert areas_of(tmp_path / "out/coco.json") == [[64]] * 3


def test_uncertain_masks_of_a_set_are_reported_with_their_image(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(draw_boxes({50: (0, 0, 60, 30)})).save(folder / "c.png")
    Image.fromarray(draw_boxes({50: (4, 4, 5, 5)})).save(folder / "d.png")
    words = [folder, "--point", "4,4", "--format", "png", "--out", tmp_path / "out", "--json"]
    assert run(*words) == 0
    printed = capsys.readouterr()
    warnings = {Path(record["picture"]).name: record["warnings"] for record in json.loads(printed.out)["pictures"]}
    assert {name: [one["code"] for one in found] for name, found in warnings.items() if found} == {
        "c.png": ["mask-covers-image"],
        "d.png": ["tiny-mask"],
    }
    assert [line for line in printed.err.splitlines() if "warning" in line] == [
        f"masklet: warning: {folder / 'c.png'}: {warnings['c.png'][0]['message']} [mask-covers-image]",
        f"masklet: warning: {folder / 'd.png'}: {warnings['d.png'][0]['message']} [tiny-mask]",
    ]


_SLOW_COMMAND = """
import sys, time
sys.path.insert(0, {tests!r})
from masklet.cli import options
from masklet.cli.main import main
from masklet.segmenter import Segmenter
from support.gray_world import GrayWorld

class Slow(GrayWorld):
    def encode(self, images):
        print("encode", flush=True, file=sys.stderr)
        time.sleep({seconds})
        return super().encode(images)

options.ModelOptions.load = lambda self: Segmenter(Slow())
sys.exit(main({words!r}))
"""


def test_a_kill_loses_at_most_the_image_in_progress(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["segment", str(folder), *TWO, "--format", "png,coco", "--out", str(out), "--json"]
    tests = str(Path(__file__).parents[1])

    def start(seconds: float, *more: str) -> subprocess.Popen[bytes]:
        code = _SLOW_COMMAND.format(tests=tests, seconds=seconds, words=[*words, *more])
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe)

    process = start(0.5)
    wait_for(lambda: (out / "b2.png").exists())
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "coco.json").exists()
    process = start(0.0, "--resume")
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert 1 <= errors.count(b"encode\n") <= 2
    records = json.loads(printed)["pictures"]
    assert records[0]["resumed"] is True
    assert [sorted(area) for area in AREAS.values()] == areas_of(out / "coco.json")


def wait_for(condition: Callable[[], bool], timeout: float = 120) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)

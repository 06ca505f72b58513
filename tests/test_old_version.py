"""Sessions, jobs, exported models and masks that version 0.1.0 wrote still open: see `old_version/README.md`."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import masklet
from masklet import Masks, Segmenter, Tracker, box, click
from masklet.cli.main import main
from masklet.formats import read_masks
from masklet.video import open_video
from support import dataset_layouts

OLD = Path(__file__).parent / "old_version"
EXPECTED: dict[str, Any] = json.loads((OLD / "expected.json").read_text())
SIDE = 64
ROUNDING = 12  # pixels of 3840: what float32 on another processor or runtime may change in a mask computed anew

MODEL = ["--size", str(SIDE), "--device", "cpu"]
FINISHED = ["--box", "20,8,60,40", "--point", "14,30@3#300", "--apart", "--every", "2"]
FORMATS = "png,sav,coco,ytvis,yolo,labelme,cvat,mots,npz,overlay,cutout,prores"
KILLED = {
    "unfinished": [
        *("track", OLD / "clip.mp4", "--box", "20,8,60,40", "--point", "14,30@2#4", "--negative", "70,5@2#4"),
        *("--direction", "both", "--format", "png,sav,coco,npz"),
    ],
    "zoomed": [
        *("track", OLD / "frames", "--box", "20,8,60,40#2", "--zoom", "1.5", "--holes", "3", "--islands", "3"),
        *("--format", "png,coco"),
    ],
    "everything": [
        *("everything", OLD / "frames", "--points-per-side", "3", "--pred-iou-thresh", "0"),
        *("--stability-score-thresh", "0", "--look-every", "4", "--most", "3", "--format", "png,coco"),
    ],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint `micro.safetensors` and its export, the folder `exported`."""
    folder = tmp_path_factory.mktemp("models")
    with zipfile.ZipFile(OLD / "models.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def exported(models: Path) -> Segmenter:
    return masklet.load(models / "exported")


@pytest.fixture(scope="module")
def clip() -> list[NDArray[np.uint8]]:
    return [np.asarray(Image.open(path)) for path in sorted((OLD / "frames").iterdir())]


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of an output folder, except for the job's log."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in files if ".masklet" not in str(path.parent)
    }


def check(masks: Masks, expected: dict[str, Any], pixels: int = ROUNDING) -> None:
    """Check for the same objects, and for at most so many different pixels of each mask."""
    assert list(masks.object_ids) == expected["object_ids"]
    recorded = Masks.from_rle(expected["rle"], object_ids=expected["object_ids"])
    assert recorded.areas.tolist() == expected["areas"]
    different = (masks.binary != recorded.binary).sum(axis=(1, 2))
    assert (different <= pixels).all(), f"frame {expected['frame']}: {different} pixels differ"
    np.testing.assert_allclose(masks.scores, expected["scores"], atol=1e-3)


def check_file(path: Path, expected: list[dict[str, Any]], pixels: int, only: Container[int] = range(99)) -> None:
    """Check for the same frames, and for the same masks on those in `only`."""
    frames = list(read_masks(path))
    assert [frame.index for frame in frames] == [record["frame"] for record in expected]
    for frame, record in zip(frames, expected, strict=True):
        if frame.index in only:
            check(frame.masks, record, pixels)


def check_stored(tracker: Tracker, expected: list[dict[str, Any]]) -> None:
    assert tracker.object_ids == (1, 7, 3)
    for record in expected:
        check(tracker.masks(record["frame"]), record, pixels=1)


@pytest.mark.parametrize("name", ["torch", "onnx", "zoomed"])
def test_a_session_opens_and_continues(
    name: str, models: Path, exported: Segmenter, clip: list[NDArray[np.uint8]]
) -> None:
    model = exported
    if name == "zoomed":
        model = masklet.load(models / "exported", zoom=1.5)
    elif name == "torch":
        pytest.importorskip("torch")
        model = masklet.load(models / "micro.safetensors", runtime="torch", device="cpu", input_size=SIDE)
    expected = EXPECTED["sessions"][name]
    tracker = model.resume(OLD / f"sessions/{name}.session")
    check_stored(tracker, expected["stored"])
    check(tracker.step(6, clip[6]), expected["next"])
    check(tracker.prompt(1, {7: click(50, 20)}, clip[1]), expected["corrected"])
    for record in expected["continued"][:5]:
        check(tracker.step(record["frame"], clip[record["frame"]]), record)


def test_a_session_made_on_pytorch_opens_on_onnxruntime(exported: Segmenter) -> None:
    tracker = exported.resume(OLD / "sessions/torch.session")
    check_stored(tracker, EXPECTED["sessions"]["torch"]["stored"])


@pytest.mark.usefixtures("no_sync")
def test_a_finished_job_opens_and_writes_a_missing_format_again(models: Path, tmp_path: Path) -> None:
    out = shutil.copytree(OLD / "jobs/finished", tmp_path / "out")
    before = contents(out)
    (out / "coco.json").unlink()
    arguments = ["track", OLD / "clip.mp4", *FINISHED, "--model", models / "exported", *MODEL]
    assert run(*arguments, "--format", FORMATS, "--out", out) == 73, "a job is there"
    assert run(*arguments, "--format", FORMATS, "--out", out, "--resume") == 0
    check_file(out / "coco.json", EXPECTED["jobs"]["finished"], 0)
    after = contents(out)
    same = {name for name in after if not name.startswith(("labelme/", "yolo/"))}  # these get their images
    assert {name for name in same if after[name] != before.get(name)} <= {"coco.json"}
    assert before.keys() == {name for name in after if not name.endswith(".jpg")}
    assert {name for name in after if name.endswith(".jpg")} == {
        f"{folder}/{record['frame']:05d}.jpg"
        for folder in ("labelme", "yolo/images")
        for record in EXPECTED["jobs"]["finished"]
    }


@pytest.mark.usefixtures("no_sync")
def test_an_unfinished_job_does_not_mix_classes_of_yolo(models: Path, tmp_path: Path) -> None:
    """Classes were objects in 0.1.0."""
    out = shutil.copytree(OLD / "jobs/finished", tmp_path / "out")
    log = out / ".masklet/journal.jsonl"
    log.write_bytes(b"".join(line for line in log.read_bytes().splitlines(True) if b'"wrote": "yolo"' not in line))
    arguments = ["track", OLD / "clip.mp4", *FINISHED, "--model", models / "exported", *MODEL]
    assert run(*arguments, "--format", FORMATS, "--out", out, "--resume") == 0
    lines = [line for file in (out / "yolo/labels").iterdir() for line in file.read_text().splitlines()]
    assert {line.split()[0] for line in lines} == {"0"} and '  0: "object"' in (out / "yolo/data.yaml").read_text()


@pytest.mark.usefixtures("no_sync")
@pytest.mark.parametrize(
    ("name", "model"), [("unfinished", "micro.safetensors"), ("zoomed", "exported"), ("everything", "exported")]
)
def test_a_killed_job_resumes(name: str, model: str, models: Path, tmp_path: Path) -> None:
    out = shutil.copytree(OLD / "jobs" / name, tmp_path / "out")
    lines = (out / ".masklet/journal.jsonl").read_text().splitlines()
    finished = [json.loads(line[9:])["frame"] for line in lines if '{"frame": ' in line]
    before, expected = contents(out), EXPECTED["jobs"][name]
    assert 3 <= len(finished) < len(expected)
    assert run(*KILLED[name], "--model", models / model, *MODEL, "--out", out, "--resume") == 0
    check_file(out / "coco.json", expected, ROUNDING)
    check_file(out / "coco.json", expected, 0, only=finished)
    after = contents(out)
    remaining = {path for path in before if int(Path(path).stem) in finished}
    assert len(remaining) == len(before) and {path: after[path] for path in remaining} == before
    assert len([path for path in after if path.startswith("png/")]) == len(expected)
    assert sorted(path.name for path in (out / ".masklet").iterdir()) == ["journal.jsonl", "lock"]


def test_an_exported_folder_is_verified_and_segments(models: Path, exported: Segmenter) -> None:
    assert run("models", "verify", models / "exported") == 0
    assert exported.config.name == "sam2.1-micro"
    found = exported.segment(OLD / "frames/00000.png", {1: click(25, 18), 2: box(20, 8, 60, 40)})
    (recorded,) = read_masks(OLD / "segment/00000.json")
    for key in (1, 2):
        assert (found.of(key).binary != recorded.masks.of(key).binary).sum() <= ROUNDING


@pytest.mark.parametrize("name", ["png", "sav", "coco.json", "ytvis.json", "mots.txt", "masks.npz"])
def test_exact_masks_of_a_video_are_read(name: str) -> None:
    for masks, recorded in in_pairs(name):
        assert np.array_equal(masks.binary, recorded.binary)


@pytest.mark.parametrize("name", ["yolo", "labelme", "cvat.xml"])
def test_polygons_of_a_video_are_read(name: str) -> None:
    """Pixels at the edge may differ: the rasterization of a polygon is not part of the file."""
    neighborhood = np.ones((3, 3), np.uint8)
    for masks, recorded in in_pairs(name):
        for one, other in zip(masks.binary.astype(np.uint8), recorded.binary.astype(np.uint8), strict=True):
            inner = cv2.erode(other, neighborhood, borderType=cv2.BORDER_CONSTANT, borderValue=0)
            assert (inner <= one).all() and (one <= cv2.dilate(other, neighborhood)).all()
            assert (one & other).sum() / (one | other).sum() > 0.4  # of masks as thin as these


def in_pairs(name: str) -> Iterator[tuple[Masks, Masks]]:
    """Yield the masks of each frame in the finished job's output `name`, and the recorded ones."""
    frames, expected = list(read_masks(OLD / "jobs/finished" / name)), EXPECTED["jobs"]["finished"]
    if name == "cvat.xml":  # has masks on the frames between visited ones, too
        frames = [frame for frame in frames if frame.index in {record["frame"] for record in expected}]
    assert [frame.index for frame in frames] == [record["frame"] for record in expected]
    for frame, record in zip(frames, expected, strict=True):
        assert list(frame.masks.object_ids) == record["object_ids"]
        yield frame.masks, Masks.from_rle(record["rle"], object_ids=record["object_ids"])


@pytest.mark.parametrize("name", ["overlay.mp4", "cutout.webm", "cutout.mov"])
def test_written_videos_open(name: str) -> None:
    assert len(list(open_video(OLD / "jobs/finished" / name).frames(range(6)))) == 6


def test_masks_of_an_image_are_read() -> None:
    (frame,) = read_masks(OLD / "segment/00000.json")
    saved = np.load(OLD / "segment/00000.npz")
    fields = {"low_res", "size", "scores", "object_ids", "object_scores"}
    assert set(saved) == fields and saved["size"].tolist() == [48, 80]
    masks = Masks.from_logits(saved["low_res"], (48, 80), object_ids=saved["object_ids"].tolist())
    assert masks.object_ids == frame.masks.object_ids and np.array_equal(masks.binary, frame.masks.binary)
    (shown,) = read_masks(OLD / "segment/00000.png")  # one label per pixel: object 1 is in front of object 2
    assert np.array_equal(shown.masks.of(1).binary, masks.of(1).binary)
    assert np.array_equal(shown.masks.of(2).binary, masks.of(2).binary & ~masks.of(1).binary)


@pytest.mark.parametrize("name", ["00000.rle.json", "00000.png", "coco.json"])
def test_everything_in_an_image_is_read(name: str) -> None:
    (found,), (recorded,) = read_masks(OLD / "everything" / name), read_masks(OLD / "everything/00000.json")
    assert len(found.masks) == 1
    assert np.array_equal(found.masks.binary, recorded.masks.binary)


@pytest.mark.usefixtures("no_sync")
def test_an_evaluation_continues_with_the_next_clip(models: Path, tmp_path: Path) -> None:
    data, out = dataset_layouts.write_mose(tmp_path / "data"), shutil.copytree(OLD / "evaluation", tmp_path / "out")
    before = contents(out)
    assert run("evaluate", "vos", data, "--model", models / "exported", "--out", out) == 0
    after = contents(out)
    assert {name for name, content in before.items() if after[name] != content} <= {"lock"}
    assert sorted(after.keys() - before.keys()) == [f"answers/1b/{frame:05d}.png" for frame in range(3)]

"""`masklet track`: every format, resuming, faults of the disk, and exit statuses."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.cli import options, track_run
from masklet.cli.track import FORMATS as NAMED
from masklet.formats import FORMATS, read_masks
from masklet.masks.label_map import write_label_map
from masklet.masks.masks import Masks
from masklet.prompts import box, click
from masklet.segmenter import Segmenter, load
from support.clips import set_display_matrix, write_clip
from support.fake_backend import FakeBackend
from support.track_runs import COUNT, read_outputs, track, write_frames
from support.video_formats import VIDEO_FORMATS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("frames"))


@pytest.fixture
def model(checkpoint: Callable[[str, int], Path]) -> str:
    return str(checkpoint("sam2.1-micro", 1))


def test_the_help_lists_every_format() -> None:
    assert NAMED.split(", ") == list(FORMATS)


def test_a_clip_is_tracked_and_every_format_reads_back(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, out = write_clip(tmp_path / "clip.mp4", 5), tmp_path / "out"
    words = ["--box", "20,5,100,40", "--point", "10,40#4", "--model", model, "--size", "64", "--json"]
    assert track(clip, *words, "--out", out, "--format", ",".join(VIDEO_FORMATS)) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["frames"] == 5 and [one["id"] for one in record["objects"]] == [1, 4]
    prompts = {1: box(20, 5, 100, 40), 4: click(10, 40)}
    wanted = {frame.index: frame.masks for frame in load(model, input_size=64).track(clip, prompts)}
    for name, form in VIDEO_FORMATS.items():
        assert Path(record["files"][name]).exists()
        if form.read and name != "mots":  # in MOTS, masks must not overlap
            found = {frame.index: frame.masks for frame in read_masks(record["files"][name])}
            assert found.keys() == wanted.keys()
            least = 1.0 if name in ("coco", "ytvis", "npz", "sav") else 0.97
            assert all(agreement(found[index], wanted[index], name) >= least for index in wanted)


def agreement(found: Masks, wanted: Masks, name: str) -> float:
    """The smallest IoU of an object's masks; label maps cannot show overlaps, in which the first object wins."""
    union = wanted.binary.any(axis=0), found.binary.any(axis=0)
    if name in ("png", "tiff", "nifti"):
        return float((union[0] & union[1]).sum() / max(1, (union[0] | union[1]).sum()))
    if name == "yolo":  # has no object ids
        visible = wanted[wanted.areas > 0]
        pairs = [*zip(visible.binary, found.binary, strict=True)]
    else:
        ids = [one for one in found.object_ids if wanted.of(one).areas[0]]
        pairs = [(wanted.of(one).binary[0], found.of(one).binary[0]) for one in ids]
    return min((float((a & b).sum() / (a | b).sum()) for a, b in pairs), default=1.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_every_frame_of_the_range_is_written_whatever_the_direction(
    direction: str, folder: Path, tmp_path: Path
) -> None:
    words = ["--point", "20,20@12", "--start", "4", "--stop", "20", "--direction", direction]
    assert track(folder, *words, "--format", "png,coco", "--out", tmp_path) == 0
    assert sorted(read_outputs(tmp_path)) == ["coco.json", *(f"png/{index:05d}.png" for index in range(4, 20))]
    tracked = {"forward": range(12, 20), "backward": range(4, 13), "both": range(4, 20)}[direction]
    seen = {frame.index for frame in read_masks(tmp_path / "coco.json") if len(frame.masks)}
    assert seen <= set(tracked) and len(seen) > len(tracked) / 2  # on some frames the object is hidden


@pytest.mark.usefixtures("quick")
def test_every_third_frame_is_written(folder: Path, tmp_path: Path) -> None:
    assert track(folder, "--point", "20,20", "--every", "3", "--format", "png", "--out", tmp_path) == 0
    assert list(read_outputs(tmp_path)) == [f"png/{index:05d}.png" for index in range(0, COUNT, 3)]


@pytest.mark.usefixtures("quick")
def test_files_are_named_like_the_images_of_a_folder(folder: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for name in ("a9.png", "a10.png", "a11.png"):
        shutil.copy(folder / "00000.png", frames / name)
    assert track(frames, "--point", "20,20", "--format", "png,coco,yolo", "--out", tmp_path / "out") == 0
    assert sorted(read_outputs(tmp_path / "out/png")) == ["a10.png", "a11.png", "a9.png"]
    assert (tmp_path / "out/yolo/labels/a9.txt").exists()
    images = json.loads((tmp_path / "out/coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a9.png", "a10.png", "a11.png"]


@pytest.mark.usefixtures("quick")
def test_a_pattern_is_a_video_named_after_its_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / "shots")
    assert track("shots/*[05].png", "--point", "20,20", "--format", "png,npz") == 0
    assert sorted(read_outputs(tmp_path / "shots_masks/png")) == [f"{index:05d}.png" for index in range(0, COUNT, 5)]
    assert track("shots/*[05].png", "--point", "20,20", "--format", "png,npz", "--resume") == 0
    assert track("shots/*.gif", "--point", "20,20") == 65


@pytest.mark.usefixtures("quick")
def test_images_of_the_same_name_in_several_folders_are_numbered(folder: Path, tmp_path: Path) -> None:
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        shutil.copy(folder / "00000.png", tmp_path / part / "1.png")
    assert track(tmp_path / "?/*.png", "--point", "20,20", "--format", "png", "--out", tmp_path / "out") == 0
    assert list(read_outputs(tmp_path / "out")) == ["png/00000.png", "png/00001.png"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("frames", ["none", "copy"])
@pytest.mark.parametrize("stops", [["9", "15"], ["9", "12", None], ["1", "20"]])
def test_a_job_is_resumed_to_a_later_end(
    stops: list[str | None], frames: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = "png,coco,yolo,cvat,npz,csv,overlay"
    words = [folder, "--point", "20,20", "--format", formats, "--frames", frames]

    def run(out: str, stop: str | None, *more: str) -> int:
        return track(*words, "--out", tmp_path / out, *(() if stop is None else ("--stop", stop)), *more)

    assert run("whole", stops[-1]) == 0 and run("out", stops[0]) == 0
    for stop in stops[1:]:
        capsys.readouterr()
        assert run("out", stop, "--resume") == 0
        assert stop != stops[1] or f"{stops[0]} finished by an earlier run" in capsys.readouterr().err
    assert run("out", stops[0], "--resume") == 78
    assert run("out", stops[-1], "--resume") == 0
    whole = read_outputs(tmp_path / "whole")
    assert read_outputs(tmp_path / "out") == whole and len(whole) > 20


@pytest.mark.usefixtures("quick")
def test_only_a_forward_job_is_resumed_to_a_later_end(folder: Path, tmp_path: Path) -> None:
    words = [folder, "--point", "20,20@4", "--format", "png", "--out", tmp_path]
    assert track(*words, "--direction", "both", "--stop", "9") == 0
    assert track(*words, "--direction", "both", "--stop", "12", "--resume") == 78
    assert track(*words, "--stop", "12", "--resume") == 78


@pytest.mark.usefixtures("quick")
def test_a_job_is_neither_replaced_nor_changed_without_an_option(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [folder, "--point", "20,20", "--format", "png,coco", "--out", tmp_path]
    assert track(*words, "--stop", "9") == 0
    first = read_outputs(tmp_path)
    assert track(*words, "--stop", "9") == 73 and "--resume continues it" in capsys.readouterr().err
    assert track(*words, "--stop", "8", "--resume") == 78
    assert "range.stop was 9, is 8" in capsys.readouterr().err
    assert track(folder, "--point", "20,21", "--stop", "9", "--out", tmp_path, "--resume") == 78
    assert "object 1 on frame 0" in capsys.readouterr().err
    assert read_outputs(tmp_path) == first
    assert track(*words, "--stop", "8", "--overwrite") == 0
    assert len(read_outputs(tmp_path)) == len(first) - 1  # nothing is left of the longer job


@pytest.mark.usefixtures("quick")
def test_other_images_under_the_same_name_are_another_job(folder: Path, tmp_path: Path) -> None:
    frames = shutil.copytree(folder, tmp_path / "frames")
    words = [frames, "--point", "20,20", "--format", "png", "--out", tmp_path / "out"]
    assert track(*words) == 0
    shutil.copy(frames / "00000.png", frames / "00013.png")
    assert track(*words, "--resume") == 78


@pytest.mark.usefixtures("quick")
def test_a_file_that_belongs_to_no_job_is_not_replaced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "coco.json").write_text("mine")
    words = [folder, "--point", "20,20", "--stop", "2", "--format", "coco", "--out", tmp_path]
    assert track(*words) == 73 and "belongs to no job" in capsys.readouterr().err
    assert (tmp_path / "coco.json").read_text() == "mine"
    assert track(*words, "--overwrite") == 0


@pytest.mark.usefixtures("quick")
def test_overwrite_removes_the_files_of_the_job_only(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo/mine.txt").write_text("mine")
    words = [folder, "--point", "20,20", "--stop", "2", "--out", tmp_path]
    assert track(*words, "--format", "png") == 0
    assert track(*words, "--format", "coco", "--overwrite") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".masklet", "coco.json", "yolo"]
    assert (tmp_path / "yolo/mine.txt").read_text() == "mine"


def test_a_finished_job_gives_further_formats_without_tracking(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = FakeBackend()
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: Segmenter(backend))
    words = [folder, "--point", "20,20", "--stop", "5", "--out", tmp_path / "a"]
    assert track(*words, "--format", "png") == 0
    calls = len(backend.calls)
    assert track(*words, "--format", "png,yolo,coco", "--resume") == 0 and len(backend.calls) == calls
    assert track(*words[:-1], tmp_path / "b", "--format", "png,yolo,coco") == 0
    assert read_outputs(tmp_path / "a") == read_outputs(tmp_path / "b")


@pytest.mark.usefixtures("quick")
def test_a_label_map_prompts_all_of_its_objects_or_the_selected_one(folder: Path, tmp_path: Path) -> None:
    labels = np.zeros((60, 90), np.uint8)
    labels[5:20, 5:20], labels[30:50, 40:70] = 3, 8
    with (tmp_path / "labels.png").open("wb") as file:
        write_label_map(file, labels)
    words = [folder, "--stop", "3", "--format", "sav"]
    assert track(*words, "--mask", tmp_path / "labels.png", "--out", tmp_path / "all") == 0
    assert sorted(path.name for path in (tmp_path / "all/sav").iterdir()) == ["003", "008"]
    assert track(*words, "--mask", f"{tmp_path}/labels.png@1#8", "--out", tmp_path / "one") == 0
    assert sorted(path.name for path in (tmp_path / "one/sav").iterdir()) == ["008"]
    assert track(*words, "--mask", f"{tmp_path}/labels.png#5", "--out", tmp_path / "none") == 65


@pytest.mark.usefixtures("quick")
def test_written_masks_are_valid_prompts(folder: Path, tmp_path: Path) -> None:
    assert track(folder, "--point", "20,20", "--stop", "5", "--format", "coco,png", "--out", tmp_path / "a") == 0
    words = [folder, "--stop", "5", "--format", "png"]
    assert track(*words, "--mask", f"{tmp_path}/a/coco.json@1", "--out", tmp_path / "b") in (0, 65)
    assert track(*words, "--mask", f"{tmp_path}/a/png@1#6", "--out", tmp_path / "c") in (0, 65)


@pytest.mark.usefixtures("quick")
def test_prompts_come_from_a_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompts.json"
    rows = [
        {"points": [[20, 20, 1], [80, 50, 0]], "box": [10, 10, 40, 40]},
        {"frame": 2, "object": 7, "box": [1, 1, 9, 9]},
    ]
    file.write_text(json.dumps({"prompts": rows}))
    assert track(folder, "--prompts", file, "--stop", "4", "--format", "png,sav", "--out", tmp_path / "file") == 0
    words = ["--box", "10,10,40,40", "--point", "20,20", "--negative", "80,50", "--box", "1,1,9,9@2#7"]
    assert track(folder, *words, "--stop", "4", "--format", "png,sav", "--out", tmp_path / "words") == 0
    assert read_outputs(tmp_path / "file") == read_outputs(tmp_path / "words")


def test_a_prompt_file_can_declare_an_object_absent(model: str, folder: Path, tmp_path: Path) -> None:
    rows = [{"box": [10, 10, 40, 40]}, {"frame": 2, "absent": True}]
    (tmp_path / "prompts.json").write_text(json.dumps(rows))
    words = ["--prompts", tmp_path / "prompts.json", "--model", model, "--size", "64", "--stop", "3"]
    assert track(folder, *words, "--format", "coco", "--out", tmp_path / "out") == 0
    found = {frame.index: frame.masks for frame in read_masks(tmp_path / "out/coco.json")}
    assert found[0].areas.any() and not found[2].areas.any()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "nothing to track"),
        (["--point", "5"], 2, "--point takes 2 numbers"),
        (["--point", "a,b"], 2, "--point takes 2 numbers"),
        (["--point", "5,5#0"], 2, "numbered from 1"),
        (["--point", "5,5#99999999999"], 65, "numbered from 1 to 2147483647"),
        (["--point", "5,5#70000"], 65, "from 1 to 65535"),
        (["--box", "5,5,9"], 2, "--box takes 4 numbers"),
        (["--box", "40,40,10,10"], 65, "x0 < x1"),
        (["--box", "1,1,9,9", "--box", "20,20,30,30"], 65, "write #2"),
        (["--point", "500,5"], 65, "of 90 × 60 pixels"),
        (["--point", "nan,5"], 65, "finite"),
        (["--point", "5,5@99"], 65, "frame 99 has a prompt"),
        (["--point", "5,5", "--start", "9", "--stop", "9"], 2, "no frames to visit"),
        (["--point", "5,5", "--format", "gif"], 2, "unknown format 'gif'"),
        (["--mask", "missing.png"], 66, "missing.png"),
        (["--prompts", "missing.json"], 66, "missing.json"),
        (["--point", "5,5", "--resume", "--overwrite"], 2, "choose one"),
        (["--holes", "-3", "--point", "5,5"], 2, "--holes"),
        (["--point", "5,5", "--direction", "sideways"], 2, "sideways"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(
    words: list[str], status: int, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(folder, *words, "--out", tmp_path / "out") == status
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "row",
    [
        {"box": [1, 2]},
        {"points": [[1, 2]]},
        {"object": 0},
        {"frame": -1, "box": [1, 1, 9, 9]},
        {"image": "a.png", "box": [1, 1, 9, 9]},
        {"colour": 1},
        {},
        7,
    ],
)
def test_an_invalid_prompt_file_is_refused(row: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps([row]))
    assert track(folder, "--prompts", tmp_path / "prompts.json", "--out", tmp_path / "out") == 65


@pytest.mark.usefixtures("quick")
def test_a_missing_video_and_a_broken_one_have_their_status(tmp_path: Path) -> None:
    assert track(tmp_path / "missing.mp4", "--point", "5,5") == 66
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    assert track(tmp_path / "broken.mp4", "--point", "5,5", "--out", tmp_path / "out") == 65


@pytest.mark.usefixtures("quick")
def test_a_truncated_clip_is_tracked_to_its_last_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 12, options={"g": "1"})
    clip.write_bytes(clip.read_bytes()[:-600])
    assert track(clip, "--point", "5,5", "--format", "png", "--out", tmp_path / "out", "--json") == 3
    caught = capsys.readouterr()
    assert json.loads(caught.out)["truncated"] and "video-truncated" in caught.err
    assert len(read_outputs(tmp_path / "out")) == json.loads(caught.out)["frames"] > 6


@pytest.mark.usefixtures("quick")
def test_a_frame_of_another_size_ends_the_job_and_keeps_finished_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_clip(tmp_path / "one.ts", 8, "mpeg2video")
    other = write_clip(tmp_path / "two.ts", 8, "mpeg2video", size=(96, 160), times=range(20, 28))
    (tmp_path / "joined.ts").write_bytes(one.read_bytes() + other.read_bytes())
    words = [tmp_path / "joined.ts", "--point", "20,20", "--format", "png,coco", "--out", tmp_path / "out"]
    assert track(*words, "--json") == 3
    caught = capsys.readouterr()
    assert json.loads(caught.out)["error"]["code"] == "resolution-changed" and "--on-resize scale" in caught.err
    assert len(read_outputs(tmp_path / "out/png")) == 8 and len(list(read_masks(tmp_path / "out/coco.json"))) == 8


@pytest.mark.usefixtures("quick")
def test_images_of_several_sizes_are_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = shutil.copytree(folder, tmp_path / "frames")
    Image.new("RGB", (30, 20)).save(frames / "00005.png")
    assert track(frames, "--point", "20,20", "--out", tmp_path / "out") == 65
    error = capsys.readouterr().err
    assert "00005.png" in error and "00000.png" in error and "--on-resize scale" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("quick")
def test_an_address_is_refused_with_the_command_for_streams(capsys: pytest.CaptureFixture[str]) -> None:
    assert track("rtsp://127.0.0.1/live", "--point", "5,5") == 77
    assert "masklet webcam rtsp://127.0.0.1/live" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_frame_of_another_size_can_be_scaled(folder: Path, tmp_path: Path) -> None:
    frames = shutil.copytree(folder, tmp_path / "frames")
    Image.new("RGB", (30, 20)).save(frames / "00005.png")
    words = [frames, "--point", "20,20", "--format", "png", "--out", tmp_path / "out"]
    assert track(*words, "--on-resize", "scale") == 0
    assert len(read_outputs(tmp_path / "out")) == COUNT


@pytest.mark.usefixtures("quick")
def test_strict_fails_on_a_truncated_video_and_on_a_corrupt_frame(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 12, options={"g": "1"})
    clip.write_bytes(clip.read_bytes()[:-600])
    assert track(clip, "--point", "5,5", "--strict", "--out", tmp_path / "out") == 65
    assert "[video-truncated]" in capsys.readouterr().err and not (tmp_path / "out").exists()
    frames = shutil.copytree(folder, tmp_path / "frames")
    (frames / "00003.png").write_bytes((frames / "00003.png").read_bytes()[:60])
    words = [frames, "--point", "20,20", "--format", "png", "--out", tmp_path / "broken"]
    assert track(*words, "--strict") == 65
    assert "[frame-corrupt]" in capsys.readouterr().err and len(read_outputs(tmp_path / "broken")) == 3
    assert track(*words, "--resume", "--json") == 3
    assert json.loads(capsys.readouterr().out)["corrupt_frames"] == [3]
    assert track(*words, "--resume", "--on-corrupt", "carry") == 78, "other masks are another job"


@pytest.mark.usefixtures("quick")
def test_rotation_is_applied_by_default(tmp_path: Path) -> None:
    clip = set_display_matrix(write_clip(tmp_path / "clip.mp4", 2), (0, 1, -1, 0))
    for words, size in (([], (128, 48)), (["--no-autorotate"], (48, 128))):
        out = tmp_path / f"out{len(words)}"
        assert track(clip, "--point", "5,5", *words, "--format", "png", "--out", out) == 0
        assert next(iter(read_masks(out / "png"))).masks.size == size


@pytest.mark.usefixtures("quick")
def test_postprocessed_masks_are_another_job(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [folder, "--point", "20,20", "--point", "60,40#2", "--stop", "4", "--format", "sav", "--out", tmp_path]
    assert track(*words, "--holes", "4", "--islands", "3", "--apart") == 0
    for frame in read_masks(tmp_path / "sav"):
        assert not (frame.masks.binary.sum(axis=0) > 1).any()
    assert track(*words, "--holes", "4", "--islands", "3", "--apart", "--remember-cleaned", "--resume") == 78
    assert "cleaning.remembered was False, is True" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_masks_with_zoom_are_another_job_and_resume_exactly(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [folder, "--box", "10,10,40,40", "--format", "npz", "--zoom", "1.2"]
    assert track(*words, "--out", tmp_path / "a") == 0
    add = track_run.FrameLog.append

    def interrupt(log: Any, frame: Any) -> None:
        if len(log) == 9:
            raise KeyboardInterrupt
        add(log, frame)

    with monkeypatch.context() as patched:
        patched.setattr(track_run.FrameLog, "append", interrupt)
        assert track(*words, "--out", tmp_path / "b") == 130
    assert track(*words, "--out", tmp_path / "b", "--resume") == 0
    assert read_outputs(tmp_path / "a") == read_outputs(tmp_path / "b")
    assert track(*words[:-1], "2", "--out", tmp_path / "b", "--resume") == 78
    assert "zoom was 1.2, is 2" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_masks_with_another_memory_are_another_job(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [folder, "--box", "10,10,40,40", "--format", "npz", "--stop", "6", "--out", tmp_path]
    assert track(*words, "--memory", "sam2long") == 0
    assert track(*words, "--memory", "sam2long", "--resume") == 0
    assert track(*words, "--resume") == 78
    assert "memory" in capsys.readouterr().err
    assert track(*words, "--memory", "recent", "--resume") == 78


@pytest.mark.usefixtures("quick")
def test_an_invalid_zoom_is_refused_before_anything_is_replaced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [folder, "--point", "20,20", "--stop", "2", "--format", "npz", "--zoom", "2", "--out", tmp_path]
    assert track(*words) == 0
    first = read_outputs(tmp_path)
    assert track(*words, "--apart", "--remember-cleaned", "--overwrite") == 2
    assert "cannot be combined with a zoom of 2; add --zoom 0" in capsys.readouterr().err
    assert read_outputs(tmp_path) == first


@pytest.mark.usefixtures("quick")
def test_a_job_that_another_process_holds_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from masklet.files.lock import Lock

    words = [folder, "--point", "20,20", "--stop", "3", "--format", "png", "--out", tmp_path]
    assert track(*words) == 0
    lock = Lock(tmp_path / ".masklet/lock")
    assert track(*words, "--resume") == 75 and track(*words, "--overwrite") == 75
    assert f"process {os.getpid()}" in capsys.readouterr().err
    lock.release()
    assert track(*words, "--resume") == 0


def test_every_format_has_its_own_path() -> None:
    places = [form.path_in(Path()) for form in FORMATS.values()]
    assert len(set(places)) == len(places)

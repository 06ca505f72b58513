"""`examples/segment-anything-2.py` accepts the command lines of ailia's sample."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import masklet
from masklet.memory.policy import Past, Record, Selection
from masklet.video.camera_connection import CameraImage
from masklet.video.cameras import Camera, CameraOptions

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "segment-anything-2.py"


@pytest.fixture(scope="module")
def sample() -> ModuleType:
    if not SCRIPT.exists():
        pytest.skip("the sample's command line is not part of this copy")
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("sample", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["sample"] = module  # where its dataclasses look for their module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(
    sample: ModuleType, checkpoint: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Run the sample in a folder with `truck.jpg` and three frames in `demo`."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 255, (400, 520, 3)).astype(np.uint8)
    Image.fromarray(image).save("truck.jpg")
    Path("demo").mkdir()
    for index in range(3):
        shutil.copy("truck.jpg", f"demo/{index:05d}.jpg")
    model = str(checkpoint("sam2.1-micro", 1))
    return lambda *arguments: int(sample.main([*arguments, "-m", model]))


def list_images(folder: Path = Path()) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


def count_frames(path: str) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--pos", "500", "375", "-i", "truck.jpg"],
        ["--pos", "500", "375", "--pos", "60", "70", "--neg", "360", "205"],
        ["--box", "125", "100", "300", "375", "--neg", "175", "150"],
        ["--version", "2.1", "--memory_mode", "11"],
    ],
)
def test_an_image_is_saved_with_its_mask(arguments: list[str], run: Callable[..., int]) -> None:
    assert run(*arguments) == 0
    assert list_images() == ["output.png"]
    with Image.open("output.png") as result, Image.open("truck.jpg") as original:
        assert result.size == original.size and np.any(np.asarray(result) != np.asarray(original))


def test_the_prompt_is_drawn_at_its_position(run: Callable[..., int]) -> None:
    assert run("--pos", "60", "70", "--neg", "360", "205") == 0
    result = np.asarray(Image.open("output.png")).astype(int)
    assert abs(result[70, 60] - (0, 255, 0)).max() < 10 and abs(result[205, 360] - (255, 0, 0)).max() < 10


def test_a_mask_prompts_alone_and_with_points(run: Callable[..., int]) -> None:
    mask = np.zeros((400, 520), np.uint8)
    mask[100:200, 100:300] = 255
    Image.fromarray(mask).save("mask.png")
    assert run("--mask", "mask.png") == 0 and run("--mask", "mask.png", "--neg", "10", "10") == 0


def test_a_folder_gives_a_folder_of_results(run: Callable[..., int], tmp_path: Path) -> None:
    assert run("-i", "demo", "-s", "results") == 0
    assert list_images(tmp_path / "results") == [f"0000{index}_res.png" for index in range(3)]
    assert run("-i", "demo") == 0
    assert list_images(tmp_path / "demo_results") == [f"0000{index}_res.png" for index in range(3)]


def test_several_images_are_saved_in_a_folder_by_name(run: Callable[..., int], tmp_path: Path) -> None:
    shutil.copy("truck.jpg", "car.jpg")
    assert run("-i", "truck.jpg", "car.jpg") == 0
    assert list_images(tmp_path / "results") == ["car_res.png", "truck_res.png"]


def test_a_video_is_not_overwritten_by_its_output(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-v", "demo", "-s", "clip.mp4") == 0
    before = Path("clip.mp4").read_bytes()
    assert run("-v", "demo", "-s", "clip.mp4", "--pos", "5000", "5") == 65
    assert run("-v", "clip.mp4", "-s", "clip.mp4") == 2 and "overwritten" in capsys.readouterr().err
    assert Path("clip.mp4").read_bytes() == before


def test_all_objects_of_an_image_are_segmented(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--auto", "--points_per_side", "3", "--pred_iou_thresh", "0", "--stability_score_thresh", "0"]
    assert run(*arguments, "--points_per_batch", "4", "--box_nms_thresh", "0.9", "-s", "auto.png") == 0
    assert list_images() == ["auto.png"] and "found " in capsys.readouterr().err


def test_the_demo_saves_an_image_per_frame(run: Callable[..., int]) -> None:
    assert run("-v", "demo") == 0
    assert list_images() == ["video_0.png", "video_1.png", "video_2.png"] and count_frames("output.mp4") == 3


def test_a_camera_is_tracked_and_recorded(
    sample: ModuleType, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class FakeSource:
        live = False
        shots = iter(np.random.default_rng(1).integers(0, 255, (4, 60, 80, 3)).astype(np.uint8))

        def read(self) -> CameraImage:
            shot = next(self.shots, None)
            if shot is None:
                raise EOFError
            return CameraImage(shot)

        def close(self) -> None: ...

    opened: list[Any] = []
    fake = Camera("the fake", FakeSource, CameraOptions())
    monkeypatch.setattr(sample.masklet, "open_video", lambda source: (opened.append(source), fake)[1])
    assert run("--pos", "40", "30", "-v", "0", "-s", "seen.mp4", "-b") == 0
    assert opened == [0] and count_frames("seen.mp4") == 4
    assert "for 4 frames" in capsys.readouterr().err


def test_the_processing_time_is_reported(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-b", "-bc", "3") == 0
    log = capsys.readouterr().err
    assert log.count("processing time") == 3 and "average time" in log


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--legacy", "--auto"], 2, "--legacy"),
        (["-i", "missing.jpg"], 66, "missing.jpg"),
        (["--pos", "5000", "5"], 65, "outside the image"),
        (["--box", "50", "50", "10", "10"], 65, "x0 < x1"),
        (["-v", "demo", "--auto"], 2, "for images"),
        (["-v", "demo", "-s", "no/where.mp4"], 73, "where.mp4"),
        (["-s", "no/where.png"], 73, "where.png"),
        (["-i", "demo", "-s", "truck.jpg/folder"], 73, "truck.jpg/folder"),
    ],
)
def test_wrong_use_has_its_status(
    arguments: list[str], status: int, message: str, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == status and message in capsys.readouterr().err


def test_released_names_follow_model_and_version(sample: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(sample.masklet, "load", lambda name, runtime: names.append(name))
    for arguments in (["-m", "hiera_b+"], ["-m", "hiera_t", "--version", "2.1"], []):
        sample._load_model(sample._make_parser().parse_args(arguments))
    assert names == ["sam2-base-plus", "sam2.1-tiny", "sam2-large"]


@pytest.mark.parametrize(
    ("frames_", "pointers", "slots", "agos"),
    [(7, 16, [6, 2, 1, 0], [9, 1, 2, 3]), (3, 3, [6, 1, 0], [9, 1, 2]), (1, 0, [6], []), (0, 16, [], [])],
)
def test_memory_is_limited_by_its_flags(
    sample: ModuleType, frames_: int, pointers: int, slots: list[int], agos: list[int]
) -> None:
    class Everything:
        name = "everything"

        def select(self, *_: object) -> Selection:
            return Selection(((6, 0), (2, 6), (1, 7), (0, 8)), ((9, 0), (1, 8), (2, 7), (3, 6)), horizon=15)

    past = Past({0: Record(1.0, 1.0)}, lambda: iter(()))
    policy = sample.ShortMemory(Everything(), frames_, pointers)
    selected = policy.select(past, 9, 1)
    assert policy.name == "everything" and selected.horizon == max(1, pointers - 1)
    assert [slot for slot, _ in selected.slots] == slots and [ago for ago, _ in selected.pointers] == agos


def test_it_uses_public_names_only() -> None:
    if not SCRIPT.exists():
        pytest.skip("the sample's command line is not part of this copy")
    text = SCRIPT.read_text()
    assert re.findall(r"\bmasklet\.(\w+)", text) and not re.search(r"^(from|import) masklet\.", text, re.MULTILINE)
    imported = re.search(r"^from masklet import (.+)$", text, re.MULTILINE)
    assert imported is not None
    assert {*re.findall(r"\bmasklet\.(\w+)", text), *imported[1].split(", ")} <= set(masklet.__all__)

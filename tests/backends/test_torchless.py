"""The default install has no PyTorch, and every command that uses a trained model works in it."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.checkpoints import key_names, write_released, write_tensors
from masklet.cli.commands import app
from masklet.formats import read_masks
from parity.inputs import weights
from support import dataset_layouts
from support.clips import write_clip
from support.networks import make_model
from support.recorded import load_relative_shapes
from support.torchless import Torchless
from support.video_formats import BASE_FORMATS

ROOT = Path(__file__).resolve().parents[2]
SIZE = ("--size", 64)


@pytest.fixture(scope="module", params=["hidden", pytest.param("absent", marks=pytest.mark.slow)])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Torchless]:
    """A process in which PyTorch is hidden, and one in a new environment with only the default install."""
    if request.param == "hidden":
        process = Torchless()
    else:
        folder = tmp_path_factory.mktemp("environment")
        venv.create(folder, with_pip=True)
        python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", ROOT]
        subprocess.run(install, check=True)
        process = Torchless(python, absent=())
    yield process
    process.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "nano.safetensors"
    write_tensors(path, key_names.to_released(make_model("nano", calm=True).tensors))
    return path


@pytest.fixture(scope="module")
def exported(shell: Torchless, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "nano"
    assert shell.run("export", "onnx", model, folder, *SIZE).status == 0
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", 6)


def test_every_command_has_a_help_text(shell: Torchless) -> None:
    names = [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]
    for name in names:
        assert f"masklet {name}" in shell.run(name, "--help").out


def test_an_image_is_segmented_in_every_format(shell: Torchless, exported: Path, tmp_path: Path) -> None:
    image = tmp_path / "one.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (60, 80, 3), np.uint8)).save(image)
    words = ("--point", "40,30", "--box", "5,5,40,40#4", "--format", "png,overlay,cutout,rle,npz", "--json")
    done = shell.run("segment", image, *words, "--model", exported, "--out", tmp_path / "masks")
    (record,) = json.loads(done.out)["pictures"]
    assert {one["id"] for one in record["objects"]} == {1, 4}
    assert all(Path(path).stat().st_size for path in record["files"].values())


def test_a_clip_is_tracked_with_two_objects_and_a_correction_in_every_format(
    shell: Torchless, exported: Path, clip: Path, tmp_path: Path
) -> None:
    prompts = ("--box", "20,5,100,40", "--point", "10,40#4", "--negative", "90,20@3#1")
    words = (clip, *prompts, "--direction", "both", "--format", ",".join(BASE_FORMATS), "--out", tmp_path / "out")
    done = shell.run("track", *words, "--model", exported, "--json")
    assert done.status == 0
    record = json.loads(done.out)
    assert record["frames"] == 6 and [one["id"] for one in record["objects"]] == [1, 4]
    assert all(Path(record["files"][name]).exists() for name in BASE_FORMATS)
    assert shell.run("track", *words, "--model", exported, "--resume").status == 0  # no frames remain


SESSION_CODE = """
import masklet
from masklet import box, click
from masklet.video import open_video

video = open_video({clip!r})
model = masklet.load({model!r})
one = model.tracker(video)
one.prompt(0, {{1: box(20, 5, 100, 40), 2: click(10, 40)}})
for frame in range(4):
    one.step(frame)
one.prompt(2, {{2: click(30, 40, positive=False)}})
one.save({session!r})
other = masklet.load({model!r}).resume({session!r}, open_video({clip!r}))
for frame in range(6):
    assert one.step(frame).low_res.tobytes() == other.step(frame).low_res.tobytes()
assert other.object_ids == (1, 2)
"""


def test_a_session_with_a_correction_is_resumed(shell: Torchless, exported: Path, clip: Path, tmp_path: Path) -> None:
    session = str(tmp_path / "session")
    assert shell.execute(SESSION_CODE.format(clip=str(clip), model=str(exported), session=session)).status == 0


ALL_MASKS = ("--points-per-side", 4, "--pred-iou-thresh", 0, "--stability-score-thresh", 0)


def test_masks_of_an_image_are_generated_in_every_format(shell: Torchless, exported: Path, tmp_path: Path) -> None:
    dataset_layouts.write_image(tmp_path / "one.jpg")
    words = (*ALL_MASKS, "--format", "sa1b,rle,coco,png,overlay", "--out", tmp_path / "out", "--json")
    done = shell.run("everything", tmp_path / "one.jpg", *words, "--model", exported)
    (record,) = json.loads(done.out)["pictures"]
    assert done.status == 0 and record["found"]
    assert all(Path(path).exists() for path in record["files"].values())


def test_objects_of_a_clip_are_detected_and_tracked(
    shell: Torchless, exported: Path, clip: Path, tmp_path: Path
) -> None:
    words = (*ALL_MASKS, "--most", 3, "--look-every", 2, "--out", tmp_path / "out", "--json", "--model", exported)
    done = shell.run("everything", clip, *words)
    assert done.status == 0 and json.loads(done.out)["frames"] == 6


def test_models_are_listed_described_verified_and_converted(shell: Torchless, model: Path, tmp_path: Path) -> None:
    assert "sam2.1-tiny" in shell.run("models", "list").out
    assert json.loads(shell.run("models", "info", model, "--json").out)["architecture"] == "nano"
    assert shell.run("models", "verify", model).status == 0
    assert shell.run("models", "convert", model, tmp_path / "nano.pt").status == 0
    assert shell.run("models", "info", tmp_path / "nano.pt").status == 0


def test_a_checkpoint_runs_without_an_export(shell: Torchless, model: Path, tmp_path: Path) -> None:
    dataset_layouts.write_image(tmp_path / "one.jpg")
    words = (tmp_path / "one.jpg", "--point", "4,4", "--model", model, *SIZE, "--out", tmp_path / "masks")
    assert shell.run("segment", *words).status == 0


@pytest.mark.parametrize(("name", "variant"), [("edgetam-micro", ()), ("efficienttam-micro-1", ("--variant", "1"))])
def test_released_files_of_edgetam_and_efficienttam_are_tracked_and_exported(
    name: str, variant: tuple[str, ...], shell: Torchless, clip: Path, tmp_path: Path
) -> None:
    file, folder = tmp_path / "model.pt", tmp_path / "exported"
    write_released(file, weights(load_relative_shapes()[name], seed=1))
    settings = (*variant, "--size", 128)
    done = shell.run("export", "onnx", file, folder, *settings, "--json")
    assert (done.status, json.loads(done.out)["model"]) == (0, name)
    tracked = []
    for model in ((file, *settings), (folder,)):
        out = tmp_path / f"masks {len(tracked)}"
        words = (clip, "--box", "20,5,100,40", "--point", "10,40#4", "--negative", "90,20@3#1", "--format", "npz")
        done = shell.run("track", *words, "--model", *model, "--out", out, "--json")
        record = json.loads(done.out)
        assert (done.status, record["frames"]) == (0, 6)
        tracked.append(np.stack([frame.masks.binary for frame in read_masks(record["files"]["npz"])]))
    assert np.array_equal(*tracked)
    assert 0 < tracked[0].mean() < 1


@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        ("images", ("--baselines",)),
        ("vos", ("--workers", 1)),
        pytest.param("interactive", ("--rounds", 2), marks=pytest.mark.slow),
    ],
)
def test_a_dataset_is_evaluated(
    protocol: str, options: tuple[object, ...], shell: Torchless, exported: Path, tmp_path: Path
) -> None:
    data = (dataset_layouts.write_sa1b if protocol == "images" else dataset_layouts.write_davis)(tmp_path / "data")
    words = (protocol, data, *options, "--model", exported, "--out", tmp_path / "out")
    assert shell.run("evaluate", *words).status == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert "OnnxBackend, cpu, float32" in report["facts"]["run on"]


def test_training_reports_that_it_needs_pytorch(shell: Torchless, tmp_path: Path) -> None:
    done = shell.run("train", "nano-fast", "--out", tmp_path / "run", "--data", tmp_path)
    assert done.status == 69 and "[backend-missing]" in done.err


def test_composing_on_a_device_reports_that_it_needs_pytorch(shell: Torchless, tmp_path: Path) -> None:
    done = shell.run("data", "synthesize", tmp_path, tmp_path / "set", "--device", "cpu")
    assert done.status == 69 and "[backend-missing]" in done.err


LOAD_CODE = """
import masklet

try:
    masklet.load({model!r}, runtime="torch")
except masklet.MaskletError as error:
    print(error.code, error.hint)
"""


def test_the_torch_runtime_reports_how_to_install_it(shell: Torchless, model: Path) -> None:
    assert shell.execute(LOAD_CODE.format(model=str(model))).out.startswith("backend-missing pip install")

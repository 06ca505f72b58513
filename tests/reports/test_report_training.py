"""Reported faults of training runs: locks, signals, unfinished files, damaged states. Numbers are of the reports."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors import safe_open  # noqa: E402

from masklet.checkpoints import write_tensors  # noqa: E402
from masklet.cli.main import main  # noqa: E402
from masklet.config import CONFIGS  # noqa: E402
from masklet.errors import CheckpointError  # noqa: E402
from masklet.files.lock import Lock  # noqa: E402
from masklet.train import loop  # noqa: E402
from masklet.train.metrics_log import LOG_FILE, read_lines  # noqa: E402
from masklet.train.run_state import STATE_FILE  # noqa: E402
from support.train_fakes import disc_mixture  # noqa: E402
from train.test_loop import SETTINGS, SMALL_NANO  # noqa: E402

CPU = torch.device("cpu")
WORDS = ("--workers", "0", "--set", "input_sizes=64", "--set", "input_size_starts=0.0", "--set", "images_per_batch=1")
MORE = ("--set", "objects_per_image=1", "--set", "correction_clicks=0,0", "--set", "trainable=mask_decoder")


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, "nano", SMALL_NANO)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of images with masks."""
    cv2 = pytest.importorskip("cv2")
    for kind in ("images", "masks"):
        (tmp_path / "squares" / kind).mkdir(parents=True)
    for number in range(2):
        mask = np.zeros((80, 100), np.uint8)
        mask[20:60, 10 + 10 * number : 60] = 255
        cv2.imwrite(str(tmp_path / f"squares/images/{number}.png"), np.dstack([mask] * 3))
        cv2.imwrite(str(tmp_path / f"squares/masks/{number}.png"), mask)
    return tmp_path / "squares"


def train(images: Path, out: Path, steps: int, *words: str) -> int:
    length = ("--set", f"steps={steps}", "--set", "minutes=0")
    return main(["train", "nano-images", "--data", str(images), "--out", str(out), *WORDS, *MORE, *length, *words])


def read_progress(out: Path) -> dict[str, Any]:
    with safe_open(out / STATE_FILE, "pt") as file:
        progress: dict[str, Any] = json.loads(file.metadata()["masklet"])
    return progress


def in_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Call `act` within a step of a run."""
    train_step = loop.train_step

    def act_and_train(run: loop.Run, *arguments: Any) -> Any:
        if run.progress.step + 1 == number:
            act()
        return train_step(run, *arguments)

    monkeypatch.setattr(loop, "train_step", act_and_train)


@pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_17_18_a_signal_saves_the_run_and_ends_it(
    name: str,
    status: int,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    number, out = getattr(signal, name), tmp_path / "run"
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        in_step(patch, 3, lambda: os.kill(os.getpid(), number))
        assert train(images, out, 30) == status
    assert signal.getsignal(number) == before
    assert read_progress(out)["step"] == 3 and "--resume" in capsys.readouterr().err
    assert train(images, out, 5, "--resume") == 0
    assert read_progress(out)["step"] == 5
    assert [line["step"] for line in read_lines(out / LOG_FILE)] == [3, 5]


def test_17_steps_before_a_save_stay_in_the_log(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=4)
    object.__setattr__(settings, "save_minutes", 0.0)  # less than users can set: a save after every step
    run = loop.begin_run(settings, tmp_path, CPU)
    loop.train(run, disc_mixture(), workers=0)
    lines = read_lines(tmp_path / LOG_FILE)
    assert sorted({line["step"] for line in lines}) == [1, 2, 3, 4]


def test_17_two_runs_in_one_folder_are_refused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    with Lock(tmp_path / "run/lock"):
        assert train(images, tmp_path / "run", 1) == 75
    assert "[job-locked]" in capsys.readouterr().err
    assert not (tmp_path / "run" / STATE_FILE).exists()


def test_17_unfinished_files_of_killed_runs_are_removed(images: Path, tmp_path: Path) -> None:
    part = tmp_path / "run" / ".masklet-0123456789abcdef.part"
    part.parent.mkdir()
    part.write_bytes(b"unfinished")
    assert train(images, tmp_path / "run", 1) == 0
    assert not part.exists()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The state file of a run of one step."""
    out = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "nano", SMALL_NANO)
        loop.train(loop.begin_run(replace(SETTINGS, steps=1), out, CPU), disc_mixture(), workers=0)
    return (out / STATE_FILE).read_bytes()


def resume(out: Path) -> None:
    loop.begin_run(SETTINGS, out, CPU, resume=True)


def test_17_a_damaged_state_is_refused(state: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    for position in (*range(0, 40, 9), *rng.integers(0, len(state), 12).tolist()):
        damaged = bytearray(state)
        damaged[position] ^= 1 << int(rng.integers(8))
        (tmp_path / STATE_FILE).write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            resume(tmp_path)
        assert caught.value.code == "checkpoint-corrupt", position
    (tmp_path / STATE_FILE).write_bytes(state)
    resume(tmp_path)


def test_17_a_state_with_impossible_values_is_refused(state: bytes, tmp_path: Path) -> None:
    path = tmp_path / STATE_FILE
    path.write_bytes(state)
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for progress in (
        {"step": -5, "seconds": 1.0}, {"step": "x", "seconds": 1.0}, {"step": 1.5, "seconds": 0}, {"step": True},
        {"step": 1, "seconds": float("nan")}, {"step": 1, "seconds": -1}, {"step": 1, "seconds": "x"}, {"speed": 1},
        [], None, 3, {"step": 1, "seconds": None},
    ):  # fmt: skip
        write_tensors(path, tensors, {"masklet": json.dumps(progress)}, with_checksum=True)
        with pytest.raises(CheckpointError):
            resume(tmp_path)
    metadata = {"masklet": json.dumps({"step": 1, "seconds": 1.0})}
    write_tensors(path, tensors, metadata, with_checksum=True)
    resume(tmp_path)
    groups = ("modules.model.mask_decoder", "modules.grouping", "average.mask_decoder", "optimiser.mask_decoder")
    for name in [next(name for name in tensors if name.startswith(group)) for group in groups]:
        for changed in (
            {key: value for key, value in tensors.items() if key != name},
            {**tensors, name: tensors[name].astype(np.int32)},
            {**tensors, name: np.concatenate([tensors[name].reshape(-1)] * 2)},
            {**tensors, f"{name}.more": tensors[name]},
        ):
            write_tensors(path, changed, metadata, with_checksum=True)
            with pytest.raises(CheckpointError):
                resume(tmp_path)


# 6: names that are not UTF-8


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_6_a_run_and_its_images_may_have_names_that_are_not_utf_8(images: Path, tmp_path: Path) -> None:
    for path in [*images.glob("*/*.png")]:
        path.rename(path.with_name(f"a\udcff{path.name}"))
    odd = images.rename(tmp_path / "squares\udcff")
    out = tmp_path / "run\udcff"
    assert train(odd, out, 1, "--validate", str(odd)) == 0
    assert train(odd, out, 2, "--resume") == 0
    progress = read_progress(out.rename(tmp_path / "run"))  # PyTorch takes only names in UTF-8
    assert progress["step"] == 2 and "report.html" in {path.name for path in (tmp_path / "run").iterdir()}

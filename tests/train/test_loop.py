"""Training runs: resumption, several processes, workers, divergence, logs and saved files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

import masklet  # noqa: E402
from masklet.config import CONFIGS  # noqa: E402
from masklet.errors import CheckpointError, InputNotFound, StateError  # noqa: E402
from masklet.synthetic.engine.views import CLOSE_UP_SHARE  # noqa: E402
from masklet.train import loop  # noqa: E402
from masklet.train.batches import Batches, BatchRequest  # noqa: E402
from masklet.train.divergence import FAILED_BATCH, MAX_EMPTY_STEPS, check_collapse  # noqa: E402
from masklet.train.image_rollout import RolloutResult  # noqa: E402
from masklet.train.losses import Losses  # noqa: E402
from masklet.train.metrics_log import LOG_FILE, VALIDATION_FILE, StepMetrics, read_lines  # noqa: E402
from masklet.train.run_state import STATE_FILE, WEIGHTS_FILE  # noqa: E402
from masklet.train.settings import Settings  # noqa: E402
from masklet.train.sources import Mixture  # noqa: E402
from masklet.train.validation import load_examples  # noqa: E402
from support.train_fakes import SMALL_NANO, DiscImageSampler, DiscSource, disc_mixture  # noqa: E402

CPU = torch.device("cpu")
SETTINGS = Settings(
    model="nano",
    trainable=("mask_decoder", "memory_encoder.out"),
    input_sizes=(64,),
    images_per_batch=2,
    objects_per_image=2,
    clips_per_batch=2,
    objects_per_clip=2,
    frames_per_clip=(2,),
    clip_fraction=0.3,
    correction_clicks=(1, 1),
    low_res_loss=True,
    ellipses_per_image=1,
    embedding_weight=0.5,
    warmup_steps=2,
    minutes=0.0,
    steps=4,
    seed=3,
)
ONE_IMAGE = replace(SETTINGS, clip_fraction=0.0, embedding_weight=0.0, images_per_batch=1, objects_per_image=1)


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, "nano", SMALL_NANO)


def train_run(
    out: Path, settings: Settings = SETTINGS, kill_at: int | None = None, *, resume: bool = False
) -> loop.Run:
    """Train a run in this process; `kill_at` ends it after so many steps, right after a save."""
    run = loop.begin_run(settings, out, CPU, resume=resume)
    if kill_at is None:
        loop.train(run, disc_mixture(), workers=0)
        return run

    class Killed(Exception):
        pass

    def save_and_kill(session: loop._Session, result: RolloutResult, request: BatchRequest) -> None:
        if run.progress.step == kill_at:
            loop.save_run(run)
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop._Session, "finish_step", save_and_kill)
        loop.train(run, disc_mixture(), workers=0)
    return run


@pytest.mark.parametrize("muon", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, muon: bool) -> None:
    everything = replace(SETTINGS, trainable=(), drop_path=0.2, muon=muon, zoom_refinement=0.5, boundary_weight=2.0)
    train_run(tmp_path / "whole", everything)
    train_run(tmp_path / "cut", everything, kill_at=2)
    train_run(tmp_path / "cut", everything, resume=True)
    whole, cut = (load_file(tmp_path / name / STATE_FILE) for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_run_resumes_with_other_rates_and_decays_of_the_same_parameters(tmp_path: Path) -> None:
    train_run(tmp_path / "run", replace(SETTINGS, trainable=()), kill_at=2)
    before = {
        name: value for name, value in load_file(tmp_path / "run" / STATE_FILE).items() if name.startswith("optim")
    }
    other = replace(SETTINGS, trainable=(), weight_decay=0.0, layer_decay=0.9, memory_rate_factor=0.5)
    run = loop.begin_run(other, tmp_path / "run", CPU, resume=True)
    states = {
        f"optimiser.{name}.{key}": value
        for name, state in run.optimizers.states.items()
        for key, value in state.items()
    }
    assert before.keys() == states.keys()
    assert all(torch.equal(before[name], states[name]) for name in before)
    loop.train(run, disc_mixture(), workers=0)


def test_a_state_file_has_the_tensor_names_of_0_1(tmp_path: Path) -> None:
    train_run(tmp_path, replace(SETTINGS, steps=1, clip_fraction=0.0))
    names = set(load_file(tmp_path / STATE_FILE))
    assert {
        "modules.model.mask_decoder.iou_token",
        "modules.grouping.scale",
        "average.mask_decoder.iou_token",
        "optimiser.mask_decoder.iou_token.exp_avg",
        "optimiser.beside.scale.exp_avg",
    } <= names


def test_the_saved_weights_load_and_segment(tmp_path: Path) -> None:
    train_run(tmp_path / "run", replace(SETTINGS, steps=1))
    model = masklet.load(tmp_path / "run" / WEIGHTS_FILE, input_size=64)
    masks = model.segment(DiscImageSampler(64).sample(0).image, masklet.click(20, 20))
    assert masks.binary.shape == (1, 64, 64)


def test_the_saved_weights_are_the_averaged_ones(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", replace(SETTINGS, steps=2))
    saved = load_file(tmp_path / "run" / WEIGHTS_FILE)
    name = "mask_decoder.iou_token"
    assert torch.equal(saved[name], run.ema.weights[name])
    assert not torch.equal(saved[name], run.model.mask_decoder.iou_token)


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    train_run(tmp_path / "run", replace(SETTINGS, steps=1))
    with pytest.raises(StateError, match="--resume"):
        loop.begin_run(SETTINGS, tmp_path / "run", CPU)


def test_a_missing_or_different_run_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no run to resume"):
        loop.begin_run(SETTINGS, tmp_path / "none", CPU, resume=True)
    train_run(tmp_path / "run", replace(SETTINGS, steps=1))
    with pytest.raises(CheckpointError, match="other parameters or optimizers were trained"):
        loop.begin_run(replace(SETTINGS, trainable=("neck",)), tmp_path / "run", CPU, resume=True)
    decoder = replace(SETTINGS, trainable=("mask_decoder",))
    train_run(tmp_path / "other", replace(decoder, muon=True), kill_at=1)
    with pytest.raises(CheckpointError, match="other parameters or optimizers were trained"):
        loop.begin_run(decoder, tmp_path / "other", CPU, resume=True)
    (tmp_path / "run" / STATE_FILE).write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="not a valid state file"):
        loop.begin_run(SETTINGS, tmp_path / "run", CPU, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_the_batch(tmp_path: Path) -> None:
    run = loop.begin_run(SETTINGS, tmp_path, CPU)
    with torch.no_grad():
        run.model.mask_decoder.iou_token.fill_(torch.nan)
    with pytest.raises(StateError, match="the loss is nan at step 0") as failure:
        loop.train(run, disc_mixture(), workers=0)
    assert failure.value.code == "training-diverged"
    assert load_file(tmp_path / FAILED_BATCH)["frames"].shape[-1] == 3
    assert not (tmp_path / STATE_FILE).exists()


def result_with_area(predicted: float) -> RolloutResult:
    zero = torch.zeros(())
    return RolloutResult(Losses(zero, zero, zero, zero), torch.zeros(1, 1), torch.tensor([predicted, 1.0]), 1)


def test_predictions_that_stay_empty_stop_the_run() -> None:
    empty = 0
    for step in range(MAX_EMPTY_STEPS - 1):
        empty = check_collapse(result_with_area(0.0), empty, step, warmup=10)
    with pytest.raises(StateError, match="masks have been empty for 100 steps"):
        check_collapse(result_with_area(0.0), empty, MAX_EMPTY_STEPS, warmup=10)


def test_one_mask_resets_the_count_of_empty_steps() -> None:
    assert check_collapse(result_with_area(0.5), MAX_EMPTY_STEPS - 1, 1000, warmup=10) == 0


def test_quality_is_measured_before_and_after_training(tmp_path: Path) -> None:
    run = loop.begin_run(replace(SETTINGS, steps=1), tmp_path, CPU)
    loop.train(run, disc_mixture(), validation={"discs": load_examples(DiscImageSampler(64), 3)}, workers=0)
    validations = read_lines(tmp_path / VALIDATION_FILE)
    assert [(line["set"], line["step"]) for line in validations] == [("discs", 0), ("discs", 1)]


def test_a_fraction_of_images_shows_few_large_objects() -> None:
    class SizedSource(DiscSource):
        def make_image_sampler(self, size: int, *, easy: bool) -> DiscImageSampler:
            return DiscImageSampler(size if easy else size + 1)

    batches = Batches(Mixture((SizedSource(),), (1.0,)), 1, 1, 1, 1, seed=0)
    sizes = [batches[BatchRequest(step, 64, [0])].frames.shape[1] for step in range(200)]
    assert abs(sizes.count(64) / 200 - CLOSE_UP_SHARE) < 0.1


def test_a_worker_process_makes_the_same_batches(tmp_path: Path) -> None:
    for workers in (0, 1):
        run = loop.begin_run(replace(SETTINGS, steps=2), tmp_path / str(workers), CPU)
        loop.train(run, disc_mixture(), workers=workers)
    without, with_worker = (load_file(tmp_path / name / STATE_FILE) for name in ("0", "1"))
    assert all(torch.equal(without[name], with_worker[name]) for name in without)


TWO_PROCESSES = """
import sys; sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from pathlib import Path
from masklet.config import CONFIGS
from masklet.train import loop, distributed
from train.test_loop import DISTRIBUTED
from support.train_fakes import SMALL_NANO, disc_mixture
CONFIGS["nano"] = SMALL_NANO
with distributed.join_processes("cpu") as device:
    loop.train(loop.begin_run(DISTRIBUTED, Path(sys.argv[1]), device), disc_mixture(), workers=0)
"""
DISTRIBUTED = replace(SETTINGS, steps=1, trainable=(), clip_fraction=0.0, max_grad_norm=1e6)


@pytest.mark.slow
def test_two_processes_compute_the_gradients_of_one(tmp_path: Path) -> None:
    train_run(tmp_path / "one", DISTRIBUTED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    code = TWO_PROCESSES.format(tests=str(Path(__file__).parents[1]))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "two")],
            env=os.environ | address | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    one, two = (load_file(tmp_path / name / STATE_FILE) for name in ("one", "two"))
    moments = [name for name in one if name.endswith("exp_avg")]
    largest = max(float(one[name].abs().max()) for name in moments)
    # After one step the first moments are a tenth of the gradients. The weights cannot be compared: Adam makes full
    # steps for gradients that should be zero and are rounding errors.
    for name in moments:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-5 * largest, msg=name)


def test_metrics_have_the_loss_and_the_iou_after_each_click(tmp_path: Path) -> None:
    run = loop.begin_run(replace(ONE_IMAGE, steps=20), tmp_path, CPU)
    reported: list[StepMetrics] = []
    loop.train(run, disc_mixture(), reported.append, workers=0)
    assert [line["step"] for line in read_lines(tmp_path / LOG_FILE)] == [20]
    assert len(reported[0].ious) == 2
    assert reported[0].remaining_seconds == 0


@pytest.mark.slow
def test_a_network_can_memorize_eight_images(tmp_path: Path) -> None:
    """IoU above .95 on 8 samples, within two minutes of one core.

    There is no dice loss: for an object that covers a part of a cell it prefers masks that are too large, and discs of
    16 cells consist mostly of boundary.
    """
    prompts: dict[str, Any] = {"correction_clicks": (0, 0), "image_click_prompts": 1.0, "image_box_prompts": 0.0}
    losses: dict[str, Any] = {"focal_weight": 1.0, "dice_weight": 0.0, "focal_alpha": -1.0, "focal_gamma": 0.0}
    size: dict[str, Any] = {"images_per_batch": 8, "max_grad_norm": 1.0, "learning_rate": 5e-4}
    settings = replace(
        ONE_IMAGE, model="sam2.1-micro", trainable=(), steps=400, warmup_steps=20, **prompts, **losses, **size
    )
    run = loop.begin_run(settings, tmp_path, CPU)
    batch = Batches(disc_mixture(), 8, 1, 1, 1, 0)[BatchRequest(0, 64, range(8))]
    for step in range(settings.steps):
        result = loop.train_step(run, batch, BatchRequest(step, 64, range(8)))
        if step > 20 and result.ious[-1].mean() > 0.95:
            return
    pytest.fail(f"IoU {result.ious[-1].mean():.3f} after {settings.steps} steps")


def test_state_files_hold_only_tensors_and_json(tmp_path: Path) -> None:
    train_run(tmp_path, replace(SETTINGS, steps=1))
    assert b"pickle" not in (tmp_path / STATE_FILE).read_bytes()[:100_000]
    save_file({"a": torch.zeros(1)}, tmp_path / STATE_FILE)
    with pytest.raises(CheckpointError):
        loop.begin_run(SETTINGS, tmp_path, CPU, resume=True)


def test_the_log_of_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    many = replace(ONE_IMAGE, steps=42, correction_clicks=(0, 0))
    train_run(tmp_path, many, kill_at=21)
    (tmp_path / LOG_FILE).open("a").write('{"step": 40, "left": "of a session that was killed"}\n{"step": 4')
    train_run(tmp_path, many, resume=True)
    steps = [line["step"] for line in read_lines(tmp_path / LOG_FILE)]
    assert steps == sorted(set(steps))

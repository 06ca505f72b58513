"""Training run: batches, optimizer steps, checkpoints at intervals, and resumption."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from masklet.errors import StateError
from masklet.files.atomic import atomic_write, create_folder
from masklet.files.error_translation import translate_write_errors
from masklet.files.outputs import output_exists
from masklet.model.sam2 import Sam2
from masklet.train import distributed
from masklet.train.batches import Batch, Batches, BatchRequest, create_object_generators
from masklet.train.device_compositor import DeviceCompositor
from masklet.train.divergence import check_collapse, check_finite
from masklet.train.ema import ExponentialMovingAverage
from masklet.train.embedding_loss import EmbeddingLoss
from masklet.train.image_rollout import RolloutOptions, RolloutResult, encode_images, roll_out_images
from masklet.train.initialization import build_seeded
from masklet.train.losses import Losses
from masklet.train.metrics_log import MetricsLog, RunPosition, StepMetrics
from masklet.train.network import build_network
from masklet.train.optimizer import OptimizerGroup, build_optimizers, compute_learning_rate
from masklet.train.run_state import STATE_FILE, WEIGHTS_FILE, Progress, load_state, save_state, save_weights
from masklet.train.settings import Settings
from masklet.train.sources import Mixture
from masklet.train.stop_signals import StopRequest, delay_signals
from masklet.train.synthetic_ellipses import compute_ellipse_loss
from masklet.train.validation import Examples, measure_quality
from masklet.train.video_rollout import draw_schedule, roll_out_clips

SETTINGS_FILE = "settings.toml"
BLUR_FACTORS = 1, 2, 4  # zoom factors that refinement simulates
ELLIPSE_SEED_OFFSET = 2**20  # separates the random numbers of synthetic ellipses from those of objects


@dataclass(slots=True)
class Run:
    """A training run: networks, optimizers and progress."""

    settings: Settings
    out: Path
    device: torch.device
    model: Sam2
    embedding_loss: EmbeddingLoss
    ema: ExponentialMovingAverage
    optimizers: OptimizerGroup
    progress: Progress = field(default_factory=Progress)
    empty_steps: int = 0  # consecutive steps with empty predictions

    @property
    def modules(self) -> nn.ModuleDict:
        """All trained modules, under the names of the state file."""
        return nn.ModuleDict({"model": self.model, "grouping": self.embedding_loss})

    @property
    def progress_fraction(self) -> float:
        """Progress of the run, from 0 to 1."""
        done, settings = self.progress, self.settings
        return min(1.0, done.step / settings.steps if settings.steps else done.seconds / (60 * settings.minutes))

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return compute_learning_rate(self.settings, self.progress.step, self.progress_fraction)


def begin_run(settings: Settings, out: Path, device: torch.device, *, resume: bool = False) -> Run:
    """Create a run in the folder `out`, or load the run that is there.

    Args:
        settings: The settings of the run. A resumed run may change those that do not affect the shape of its state.
        out: The folder of the run.
        device: The device to train on.
        resume: Load the saved state of the folder.

    Raises:
        StateError: The folder holds a run, and `resume` is False.
        InputNotFound: `resume` is True, and the folder holds no run.
        CheckpointError: The saved state is damaged or does not fit the settings.
    """
    if output_exists(out / STATE_FILE) and not resume:
        message = f"{out} already holds a run; continue it with --resume, or give another folder"
        raise StateError("output-exists", message)
    model = build_network(settings, device)
    embedding_loss = build_seeded(settings.seed, lambda: EmbeddingLoss(model.config)).to(device)
    optimizers = build_optimizers(model, embedding_loss if settings.embedding_weight else nn.Identity(), settings)
    ema = ExponentialMovingAverage(model, settings.ema_decay)
    run = Run(settings, out, device, model, embedding_loss, ema, optimizers)
    if resume:
        run.progress = load_state(out / STATE_FILE, run.modules, run.ema, run.optimizers)
    if distributed.is_main_process():
        with translate_write_errors(out):
            create_folder(out)
        with atomic_write(out / SETTINGS_FILE) as file:
            file.write(settings.to_toml().encode())
    return run


def train(
    run: Run,
    mixture: Mixture,
    report: Callable[[StepMetrics], None] = lambda metrics: None,
    *,
    validation: Mapping[str, Examples] | None = None,
    workers: int = 1,
) -> None:
    """Train until the steps or the minutes of the run are over, and save it.

    A SIGINT, SIGTERM or SIGHUP ends the run after its step; it is saved, and the process ends.

    Args:
        run: The run to train.
        mixture: The training data.
        report: Called with the metrics of every 20 batches of a kind.
        validation: Sets to measure the averaged weights on: before training, every `validate_minutes`, and after it.
        workers: Processes that prepare batches.

    Raises:
        StateError: A loss is not finite, or predictions have been empty for many steps.
        KeyboardInterrupt: SIGINT.
        SystemExit: SIGTERM or SIGHUP.
    """
    with delay_signals() as stop, _Session(run, report, validation or {}, stop) as session:
        for request, batch in session.batches(mixture, workers):
            result = train_step(run, batch.to(run.device), request)
            session.finish_step(result, request)
            if run.progress_fraction >= 1 or session.is_stopped():
                break
    stop.end_process()


def train_step(run: Run, batch: Batch, request: BatchRequest) -> RolloutResult:
    """Do one optimizer step on this process's rows of a batch, and return the losses and metrics of the batch."""
    settings, step, learning_rate = run.settings, run.progress.step, run.learning_rate
    torch.manual_seed(hash((settings.seed, step, request.rows[0])) & 0x7FFFFFFF)
    for group in run.optimizers.param_groups:
        group["lr"] = learning_rate * group["rate_factor"]
    result, extra = _roll_out(run, batch, request)
    loss = (result.losses.total(settings.loss_weights()) + extra) / _objects_per_batch(settings, request)
    check_finite(loss.detach(), batch, run.out, step)
    run.optimizers.zero_grad()
    loss.backward()
    distributed.all_reduce_gradients(run.modules.parameters())
    nn.utils.clip_grad_norm_((p for p in run.model.parameters() if p.grad is not None), settings.max_grad_norm)
    run.optimizers.step()
    run.ema.update(run.model, step)
    run.progress = Progress(step + 1, run.progress.seconds)
    run.empty_steps = check_collapse(result, run.empty_steps, step, settings.warmup_steps)
    return result._replace(losses=Losses(*(part.detach() for part in result.losses)))


def save_run(run: Run) -> None:
    """Save the state of the run and its averaged weights; only the main process writes."""
    if not distributed.is_main_process():
        return
    save_state(run.out / STATE_FILE, run.modules, run.ema, run.optimizers, run.progress)
    with run.ema.apply_to(run.model):
        save_weights(run.out / WEIGHTS_FILE, run.model)


class _Session:
    """A session of a run, from its start or resumption to its end: clock, saves, metrics and validation."""

    def __init__(
        self,
        run: Run,
        report: Callable[[StepMetrics], None],
        validation: Mapping[str, Examples],
        stop: StopRequest,
    ) -> None:
        self.run, self.validation, self.stop = run, validation, stop
        self.log: MetricsLog | None = None
        if distributed.is_main_process():
            self.log = MetricsLog(run.out, run.settings.loss_weights(), report, run.progress.step)
        self.started = self.saved = self.validated = time.monotonic()
        self.seconds_before = run.progress.seconds

    def __enter__(self) -> _Session:
        if not self.run.progress.step:
            self._validate()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Save a finished or stopped run. After an exception, perhaps within a step, the last save stays."""
        if kind is None:
            self._save()
            if not self.stop.number:
                self._validate()

    def is_stopped(self) -> bool:
        """Return whether a signal asked the main process to stop, the same on every process."""
        return bool(distributed.broadcast(self.stop.number, self.run.device))

    def batches(self, mixture: Mixture, workers: int) -> Iterator[tuple[BatchRequest, Batch]]:
        """Yield the requests and batches of the remaining steps, prepared ahead by `workers` processes."""
        settings, pending = self.run.settings, []
        compositor = DeviceCompositor(mixture, settings, self.run.device) if settings.compose_on_device else None

        def requests() -> Iterator[BatchRequest]:
            step = self.run.progress.step
            while not settings.steps or step < settings.steps:
                pending.append(self._make_request(step))
                yield compositor.select_read_rows(pending[-1]) if compositor else pending[-1]
                step += 1

        loader: DataLoader[Batch] = DataLoader(
            _open_batches(mixture.without_composed if compositor else mixture, settings),
            batch_size=None,
            sampler=_IteratorSampler(requests()),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=self.run.device.type == "cuda",
        )
        for batch in loader:
            request = pending.pop(0)
            yield request, compositor.complete_batch(batch, request) if compositor else batch

    def finish_step(self, result: RolloutResult, request: BatchRequest) -> None:
        """Log the step, and save and validate at the intervals of the settings."""
        run, settings, now = self.run, self.run.settings, time.monotonic()
        seconds = distributed.broadcast(self.seconds_before + now - self.started, run.device)
        run.progress = Progress(run.progress.step, seconds)
        if self.log:
            kind = "clips" if request.frames else "images"
            at = RunPosition(run.progress.step, seconds, run.progress_fraction, request.size, run.learning_rate)
            self.log.add(kind, result, len(request.rows), at)
        if now - self.saved > 60 * settings.save_minutes:
            self._save()
            self.saved = now
        if now - self.validated > 60 * settings.validate_minutes:
            self._validate()

    def _save(self) -> None:
        """Save the run and the metrics up to here, since a resumed run does not compute them again."""
        save_run(self.run)
        if self.log:
            self.log.flush()

    def _make_request(self, step: int) -> BatchRequest:
        """Draw the kind and the size of a step's batch, the same on every process."""
        settings = self.run.settings
        if settings.steps:
            progress = step / settings.steps
        else:
            progress = distributed.broadcast(self.run.progress_fraction, self.run.device)
        rng = np.random.default_rng((settings.seed, 5, step))
        frames = int(rng.choice(settings.frames_per_clip)) if rng.random() < settings.clip_fraction else 0
        rows = distributed.select_rows(settings.clips_per_batch if frames else settings.images_per_batch)
        return BatchRequest(step, settings.input_size_at(progress), rows, frames, settings.easy_fraction_at(progress))

    def _validate(self) -> None:
        if self.log:
            with self.run.ema.apply_to(self.run.model):
                for name, examples in self.validation.items():
                    self.log.add_validation(name, measure_quality(self.run.model, examples), self.run.progress.step)
        self.validated = time.monotonic()


class _IteratorSampler(torch.utils.data.Sampler[BatchRequest]):
    """A PyTorch sampler that returns an existing iterator."""

    def __init__(self, requests: Iterator[BatchRequest]) -> None:
        self.requests = requests

    def __iter__(self) -> Iterator[BatchRequest]:
        return self.requests


def _open_batches(mixture: Mixture, settings: Settings) -> Batches:
    return Batches(
        mixture,
        settings.images_per_batch,
        settings.objects_per_image,
        settings.clips_per_batch,
        settings.objects_per_clip,
        settings.seed,
        settings.clips_from_images,
    )


def _objects_per_batch(settings: Settings, request: BatchRequest) -> int:
    if request.frames:
        return settings.clips_per_batch * settings.objects_per_clip
    return settings.images_per_batch * settings.objects_per_image


def _roll_out(run: Run, batch: Batch, request: BatchRequest) -> tuple[RolloutResult, Tensor]:
    """Roll out a batch with options drawn for its step. Returns the result, and embedding loss plus ellipse loss."""
    settings, step = run.settings, run.progress.step
    rng = np.random.default_rng((settings.seed, 3, step))
    options = _draw_options(settings, request, rng)
    objects = settings.objects_per_clip if request.frames else settings.objects_per_image
    rngs = create_object_generators(settings.seed, step, request.rows, objects)
    extra = torch.zeros((), device=run.device)
    with torch.autocast(run.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        if request.frames:
            limits = settings.max_prompted_frames, settings.max_corrected_frames
            schedule = draw_schedule(request.frames, settings.clip_mask_prompts, *limits, rng)
            return roll_out_clips(run.model, *batch, schedule, options, rngs), extra
        features = encode_images(run.model, batch.frames, options)
        result = roll_out_images(run.model, features, batch.ground_truth, options, rngs)
        if settings.embedding_weight:
            loss = run.embedding_loss(features, batch.ground_truth, options.weights)
            extra = settings.embedding_weight * loss
        if settings.ellipses_per_image:
            seed, count = settings.seed + ELLIPSE_SEED_OFFSET, settings.ellipses_per_image
            ellipse_rngs = create_object_generators(seed, step, request.rows, count)
            extra = extra + compute_ellipse_loss(run.model, features, request.size, options, ellipse_rngs)
        return result, extra


def _draw_options(settings: Settings, request: BatchRequest, rng: np.random.Generator) -> RolloutOptions:
    """Draw the number of corrections of a step and whether it simulates a zoom."""
    clicks = int(rng.integers(*settings.correction_clicks, endpoint=True))
    refined = not request.frames and rng.random() < settings.zoom_refinement
    blur_factor = int(rng.choice(BLUR_FACTORS)) if refined else 0
    return RolloutOptions(
        settings.prompt_shares(clips=bool(request.frames)),
        settings.loss_weights(),
        max(clicks, min(blur_factor, 1)),
        settings.low_res_loss,
        settings.activation_checkpointing,
        blur_factor,
    )

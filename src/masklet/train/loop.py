"""The run: batches in, weights out; saved often, stopped by the clock, resumed as if never stopped."""

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
from masklet.files.atomic import atomic_write
from masklet.files.outputs import output_exists
from masklet.files.translate import translate_write_errors
from masklet.model.sam2 import Sam2
from masklet.train import distributed
from masklet.train.batches import Batch, Batches, Request, row_generators
from masklet.train.device_compositor import Compositor
from masklet.train.divergence import check_alive, check_finite
from masklet.train.embedding_loss import Grouping
from masklet.train.image_rollout import Outcome, Plan, encoded, pictures
from masklet.train.initialization import seeded
from masklet.train.losses import Parts
from masklet.train.metrics_log import Journal, Line, Moment
from masklet.train.network import network
from masklet.train.optimizer import Average, Movers, movers, rate
from masklet.train.run_state import STATE, WEIGHTS, Progress, load_state, save_state, save_weights
from masklet.train.settings import Settings
from masklet.train.sources import Mixture
from masklet.train.synthetic_ellipses import drilled
from masklet.train.validation import Examples, quality
from masklet.train.video_rollout import clips, drawn_script

SETTINGS = "settings.toml"
BLURS = 1, 2, 4  # how much more closely pictures are looked at that are asked again
DRILLED = 2**20  # added to the seed: drills draw for themselves


@dataclass(slots=True)
class Run:
    """A model in training."""

    settings: Settings
    out: Path
    device: torch.device
    model: Sam2
    grouping: Grouping
    average: Average
    movers: Movers
    progress: Progress = field(default_factory=Progress)
    empty: int = 0  # steps in a row whose answers were empty

    @property
    def modules(self) -> nn.ModuleDict:
        """All that is trained: the network, and what helps to train it."""
        return nn.ModuleDict({"model": self.model, "grouping": self.grouping})

    @property
    def share(self) -> float:
        """How much of the run is over, from 0 to 1."""
        done, settings = self.progress, self.settings
        return min(1.0, done.step / settings.steps if settings.steps else done.seconds / (60 * settings.minutes))

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return rate(self.settings, self.progress.step, self.share)


def begin(settings: Settings, out: Path, device: torch.device, *, resume: bool = False) -> Run:
    """A run in the folder `out`: a new one, or the one that is there, where it stopped.

    Raises `StateError` if a new one would overwrite an old one, `InputNotFound` if there is none to resume.
    """
    if output_exists(out / STATE) and not resume:
        raise StateError(
            "output-exists", f"{out} holds a run already; continue it with --resume or name another folder"
        )
    model = network(settings, device)
    grouping = seeded(settings.seed, lambda: Grouping(model.config)).to(device)
    moving = movers(model, grouping if settings.grouping else nn.Identity(), settings)
    run = Run(settings, out, device, model, grouping, Average(model, settings.average), moving)
    if resume:
        run.progress = load_state(out / STATE, run.modules, run.average, run.movers)
    if distributed.leads():
        with translate_write_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        with atomic_write(out / SETTINGS) as file:
            file.write(settings.to_toml().encode())
    return run


def train(
    run: Run,
    mixture: Mixture,
    tell: Callable[[Line], None] = lambda line: None,
    *,
    validation: Mapping[str, Examples] | None = None,
    workers: int = 1,
) -> None:
    """Train until the run's steps or minutes are over. `tell` hears a line now and then.

    The averaged weights are measured on each set of `validation` before, every now and then, and after. Raises
    `StateError` for a loss that is not finite and for masks that stay empty.
    """
    with _Session(run, tell, validation or {}) as session:
        for request, batch in session.batches(mixture, workers):
            outcome = advance(run, batch.to(run.device), request)
            session.after(outcome, request)
            if run.share >= 1:
                break


def advance(run: Run, batch: Batch, request: Request) -> Outcome:
    """One step of training on this process's rows of a batch."""
    settings, step, training_rate = run.settings, run.progress.step, run.rate
    torch.manual_seed(hash((settings.seed, step, request.rows[0])) & 0x7FFFFFFF)
    for group in run.movers.groups:
        group["lr"] = training_rate * group["share"]
    outcome, extra = _rolled_out(run, batch, request)
    objects = (settings.clips * settings.clip_objects) if request.frames else (settings.pictures * settings.objects)
    loss = (outcome.parts.total(settings.weights()) + extra) / objects
    check_finite(loss.detach(), batch, run.out, step)
    run.movers.forget()
    loss.backward()
    distributed.add_gradients(run.modules.parameters())
    nn.utils.clip_grad_norm_((p for p in run.model.parameters() if p.grad is not None), settings.clip)
    run.movers.step()
    run.average.update(run.model, step)
    run.progress = Progress(step + 1, run.progress.seconds)
    run.empty = check_alive(outcome, run.empty, step, settings.warmup)
    return outcome._replace(parts=Parts(*(part.detach() for part in outcome.parts)))


def keep(run: Run) -> None:
    """Save the run to go on from, and the averaged weights to use; by the leading process."""
    if not distributed.leads():
        return
    save_state(run.out / STATE, run.modules, run.average, run.movers, run.progress)
    with run.average.shown(run.model):
        save_weights(run.out / WEIGHTS, run.model)


class _Session:
    """One stretch of a run: its clock, its saves, its journal, its validation."""

    def __init__(self, run: Run, tell: Callable[[Line], None], validation: Mapping[str, Examples]) -> None:
        self.run, self.validation = run, validation
        self.journal = (
            Journal(run.out, run.settings.weights(), tell, run.progress.step) if distributed.leads() else None
        )
        self.started = self.saved = self.validated = time.monotonic()
        self.before = run.progress.seconds

    def __enter__(self) -> _Session:
        if not self.run.progress.step:
            self._validate()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """A run that ends is saved; one that is interrupted, perhaps in mid-step, keeps what it last saved."""
        if kind is None:
            keep(self.run)
            self._validate()

    def batches(self, mixture: Mixture, workers: int) -> Iterator[tuple[Request, Batch]]:
        """The requests from where the run is to its end with their batches, composed ahead by `workers`."""
        settings, asked = self.run.settings, []
        compositor = Compositor(mixture, settings, self.run.device) if settings.compose_on_device else None

        def requests() -> Iterator[Request]:
            step = self.run.progress.step
            while not settings.steps or step < settings.steps:
                asked.append(self._request(step))
                yield compositor.labelled(asked[-1]) if compositor else asked[-1]
                step += 1

        counts = settings.pictures, settings.objects, settings.clips, settings.clip_objects
        read = mixture.labelled if compositor else mixture
        batches = Batches(read, *counts, settings.seed, settings.stills)
        loader: DataLoader[Batch] = DataLoader(
            batches,
            batch_size=None,
            sampler=_Once(requests()),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=self.run.device.type == "cuda",
        )
        for batch in loader:
            request = asked.pop(0)
            yield request, compositor.completed(batch, request) if compositor else batch

    def after(self, outcome: Outcome, request: Request) -> None:
        """Look at the clock, write and save what is due."""
        run, settings, now = self.run, self.run.settings, time.monotonic()
        seconds = distributed.agreed(self.before + now - self.started, run.device)
        run.progress = Progress(run.progress.step, seconds)
        if self.journal:
            kind = "clips" if request.frames else "pictures"
            at = Moment(run.progress.step, seconds, run.share, request.size, run.rate)
            self.journal.note(kind, outcome, len(request.rows), at)
        if now - self.saved > 60 * settings.save_minutes:
            keep(run)
            self.saved = now
        if now - self.validated > 60 * settings.validate_minutes:
            self._validate()

    def _request(self, step: int) -> Request:
        """The batch of a step, of the kind and size that are due; every process gets the same."""
        settings = self.run.settings
        share = step / settings.steps if settings.steps else distributed.agreed(self.run.share, self.run.device)
        rng = np.random.default_rng((settings.seed, 5, step))
        frames = int(rng.choice(settings.frames)) if rng.random() < settings.video else 0
        rows = distributed.own_rows(settings.clips if frames else settings.pictures)
        return Request(step, settings.size_at(share), rows, frames, settings.easy_at(share))

    def _validate(self) -> None:
        if self.journal:
            with self.run.average.shown(self.run.model):
                for name, examples in self.validation.items():
                    self.journal.validated(name, quality(self.run.model, examples), self.run.progress.step)
        self.validated = time.monotonic()


class _Once(torch.utils.data.Sampler[Request]):
    """An iterator as a sampler."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self.requests = requests

    def __iter__(self) -> Iterator[Request]:
        return self.requests


def _rolled_out(run: Run, batch: Batch, request: Request) -> tuple[Outcome, Tensor]:
    """The batch prompted, answered and judged, as this step has it; and the loss of `grouping` and of drills."""
    settings, step, nothing = run.settings, run.progress.step, torch.zeros((), device=run.device)
    rng = np.random.default_rng((settings.seed, 3, step))
    clicks = int(rng.integers(*settings.clicks, endpoint=True))
    weights, asked = settings.weights(), settings.prompts(clips=bool(request.frames))
    blurred = int(rng.choice(BLURS)) if not request.frames and rng.random() < settings.again else 0
    plan = Plan(asked, weights, max(clicks, min(blurred, 1)), settings.coarse, settings.recompute, blurred)
    objects = settings.clip_objects if request.frames else settings.objects
    rngs = row_generators(settings.seed, step, request.rows, objects)
    with torch.autocast(run.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        if request.frames:
            script = drawn_script(request.frames, settings.mask, settings.prompted, settings.corrected, rng)
            return clips(run.model, *batch, script, plan, rngs), nothing
        features = encoded(run.model, batch.frames, plan)
        outcome = pictures(run.model, features, batch.truth, plan, rngs)
        extra = settings.grouping * run.grouping(features, batch.truth, weights) if settings.grouping else nothing
        if settings.drills:
            drawn = row_generators(settings.seed + DRILLED, step, request.rows, settings.drills)
            extra = extra + drilled(run.model, features, request.size, plan, drawn)
        return outcome, extra

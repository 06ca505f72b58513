"""What a run tells: lines of figures for people, for machines, and for TensorBoard."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from masklet.files.atomic import atomic_write
from masklet.train.image_rollout import Outcome
from masklet.train.losses import Weights
from masklet.train.tensorboard import EventFile
from masklet.train.validation import Quality

LOG = "log.jsonl"
VALIDATION = "validation.jsonl"


class Line(NamedTuple):
    """The means of a stretch of steps, over the answers of this process."""

    kind: str  # pictures or clips
    step: int
    seconds: float
    size: int
    rate: float
    loss: float  # of an answer
    focal: float
    dice: float
    iou: float
    occlusion: float
    overlaps: tuple[float | None, ...]  # IoU after the first prompt and each click; in clips on each frame
    area: float  # answered over true
    samples_per_second: float
    left: float  # seconds


class Moment(NamedTuple):
    """Where a run is when a line is written."""

    step: int
    seconds: float
    share: float
    size: int
    rate: float


class Journal:
    """Collects outcomes and writes a line about each `every` of a kind into the folder of the run."""

    def __init__(self, out: Path, weights: Weights, tell: Callable[[Line], None], step: int, every: int = 20) -> None:
        """What the logs say of steps after `step`, from which the run goes on, is struck out: they come again."""
        self.out, self.weights, self.tell, self.every = out, weights, tell, every
        for name in (LOG, VALIDATION):
            _strike(out / name, step)
        self.events = EventFile(out)
        self.collected: dict[str, list[Outcome]] = {}
        self.seen: dict[str, int] = {}
        self.since = time.monotonic()
        self.samples = 0

    def note(self, kind: str, outcome: Outcome, samples: int, at: Moment) -> None:
        """One more outcome of a batch of that many pictures or clips."""
        outcomes = self.collected.setdefault(kind, [])
        outcomes.append(outcome)
        self.samples += samples
        if len(outcomes) >= self.every:
            self._write(kind, self.collected.pop(kind), at)

    def validated(self, name: str, found: Quality, step: int) -> None:
        """The model's quality on a set, at a step."""
        values = {f"click_{count}": value for count, value in enumerate(found.clicks, start=1)} | {"box": found.box}
        _append(self.out / VALIDATION, {"set": name, "step": step, **values})
        self.events.write(step, {f"{name}/{key}": value for key, value in values.items()})

    def _write(self, kind: str, outcomes: Sequence[Outcome], at: Moment) -> None:
        line = summary(kind, outcomes, self.weights, at, self.samples / max(1e-9, time.monotonic() - self.since))
        self.since, self.samples = time.monotonic(), 0
        _append(self.out / LOG, line._asdict())
        names = ("loss", "focal", "dice", "iou", "occlusion", "area", "rate", "samples_per_second")
        scalars = {f"{kind}/{name}": getattr(line, name) for name in names}
        scalars |= {f"{kind}/overlap_{k}": value for k, value in enumerate(line.overlaps) if value is not None}
        self.events.write(at.step, scalars)
        self.tell(line)


def summary(kind: str, outcomes: Sequence[Outcome], weights: Weights, at: Moment, speed: float) -> Line:
    """A line about some outcomes of one kind."""
    answers = max(1, sum(outcome.answers for outcome in outcomes))
    parts = [float(torch.stack(values).sum()) / answers for values in zip(*(o.parts for o in outcomes), strict=True)]
    focal, dice, iou, occlusion = (round(part, 4) for part in parts)
    loss = weights.focal * focal + weights.dice * dice + weights.iou * iou + weights.occlusion * occlusion
    areas = torch.stack([outcome.areas for outcome in outcomes]).sum(dim=0).tolist()
    return Line(
        kind=kind,
        step=at.step,
        seconds=round(at.seconds, 1),
        size=at.size,
        rate=round(at.rate, 8),
        loss=round(loss, 4),
        focal=focal,
        dice=dice,
        iou=iou,
        occlusion=occlusion,
        overlaps=_overlaps(outcomes),
        area=round(areas[0] / max(areas[1], 1e-9), 3),
        samples_per_second=round(speed, 2),
        left=round(at.seconds * (1 - at.share) / max(at.share, 1e-9)),
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without a last one that was cut short."""
    if not path.is_file():
        return []
    texts = path.read_text("utf-8").split("\n")[:-1]
    return [json.loads(text) for text in texts]


def _overlaps(outcomes: Sequence[Outcome]) -> tuple[float | None, ...]:
    """Mean IoU by click or frame, over the outcomes that went so far and had something to find there."""
    longest = max(len(outcome.overlaps) for outcome in outcomes)
    columns = [torch.cat([o.overlaps[k] for o in outcomes if len(o.overlaps) > k]) for k in range(longest)]
    means = [column[~column.isnan()].mean() for column in columns]
    return tuple(None if mean.isnan() else round(float(mean), 4) for mean in means)


def _strike(path: Path, step: int) -> None:
    lines = read_lines(path)
    kept = [line for line in lines if line["step"] <= step]
    if path.is_file():
        with atomic_write(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")

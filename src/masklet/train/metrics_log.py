"""Metrics log of a run: JSON lines, TensorBoard events, and a callback for the console."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from masklet.files.atomic import atomic_write
from masklet.train.image_rollout import RolloutResult
from masklet.train.loss_weights import LossWeights
from masklet.train.tensorboard import EventFile
from masklet.train.validation import Quality

LOG_FILE = "log.jsonl"
VALIDATION_FILE = "validation.jsonl"

_KEYS_OF_0_1 = {"rate": "learning_rate", "occlusion": "object_score", "overlaps": "ious", "left": "remaining_seconds"}
_KINDS_OF_0_1 = {"pictures": "images"}


class StepMetrics(NamedTuple):
    """Means over several steps with batches of one kind, on this process.

    Attributes:
        kind: "images" or "clips".
        step: The last of the steps.
        seconds: Training time up to here.
        size: Side of the images in pixels.
        learning_rate: Learning rate of the last step.
        loss: Weighted sum of the four losses per prediction, which follow.
        ious: Mean IoU after the first prompt and after each correction; for clips, on each frame. None without objects.
        area: Predicted area divided by ground-truth area.
        samples_per_second: Images or clips per second.
        remaining_seconds: Estimated time to the end of the run.
    """

    kind: str
    step: int
    seconds: float
    size: int
    learning_rate: float
    loss: float
    focal: float
    dice: float
    iou: float
    object_score: float
    ious: tuple[float | None, ...]
    area: float
    samples_per_second: float
    remaining_seconds: float


class RunPosition(NamedTuple):
    """The progress of a run after a step."""

    step: int
    seconds: float
    progress_fraction: float
    size: int
    learning_rate: float


class MetricsLog:
    """Collects results and writes the means of `every` results of a kind to the run's folder."""

    def __init__(
        self, out: Path, weights: LossWeights, report: Callable[[StepMetrics], None], step: int, every: int = 20
    ) -> None:
        """Open the logs in `out` and remove the lines after `step`, which a resumed run writes again."""
        self.out, self.weights, self.report, self.every = out, weights, report, every
        for name in (LOG_FILE, VALIDATION_FILE):
            _truncate(out / name, step)
        self.events = EventFile(out)
        self.collected: dict[str, list[RolloutResult]] = {}
        self.since = time.monotonic()
        self.samples = 0
        self.at: RunPosition | None = None  # of the last result

    def add(self, kind: str, result: RolloutResult, samples: int, at: RunPosition) -> None:
        """Add the result of a batch of `samples` images or clips."""
        results = self.collected.setdefault(kind, [])
        results.append(result)
        self.samples += samples
        self.at = at
        if len(results) >= self.every:
            self._write(kind, self.collected.pop(kind), at)

    def flush(self) -> None:
        """Write the means of the results that were collected so far."""
        for kind in [*self.collected]:
            assert self.at, "a result has a position"
            self._write(kind, self.collected.pop(kind), self.at)

    def add_validation(self, name: str, quality: Quality, step: int) -> None:
        """Write the model's quality on a validation set."""
        values = {f"click_{count}": value for count, value in enumerate(quality.clicks, start=1)}
        values["box"] = quality.box
        _append(self.out / VALIDATION_FILE, {"set": name, "step": step, **values})
        self.events.add_scalars(step, {f"{name}/{key}": value for key, value in values.items()})

    def _write(self, kind: str, results: Sequence[RolloutResult], at: RunPosition) -> None:
        speed = self.samples / max(1e-9, time.monotonic() - self.since)
        metrics = summarize(kind, results, self.weights, at, speed)
        self.since, self.samples = time.monotonic(), 0
        _append(self.out / LOG_FILE, metrics._asdict())
        names = ("loss", "focal", "dice", "iou", "object_score", "area", "learning_rate", "samples_per_second")
        scalars = {f"{kind}/{name}": getattr(metrics, name) for name in names}
        scalars |= {f"{kind}/iou_{k}": value for k, value in enumerate(metrics.ious) if value is not None}
        self.events.add_scalars(at.step, scalars)
        self.report(metrics)


def summarize(
    kind: str, results: Sequence[RolloutResult], weights: LossWeights, at: RunPosition, speed: float
) -> StepMetrics:
    """Compute the means of results of one kind; `speed` is in samples per second."""
    predictions = max(1, sum(result.predictions for result in results))
    sums = [float(torch.stack(values).sum()) for values in zip(*(result.losses for result in results), strict=True)]
    focal, dice, iou, object_score = (round(value / predictions, 4) for value in sums)
    loss = weights.focal * focal + weights.dice * dice + weights.iou * iou + weights.object_score * object_score
    areas = torch.stack([result.areas for result in results]).sum(dim=0).tolist()
    return StepMetrics(
        kind=kind,
        step=at.step,
        seconds=round(at.seconds, 1),
        size=at.size,
        learning_rate=round(at.learning_rate, 8),
        loss=round(loss, 4),
        focal=focal,
        dice=dice,
        iou=iou,
        object_score=object_score,
        ious=_mean_ious(results),
        area=round(areas[0] / max(areas[1], 1e-9), 3),
        samples_per_second=round(speed, 2),
        remaining_seconds=round(at.seconds * (1 - at.progress_fraction) / max(at.progress_fraction, 1e-9)),
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a log without damaged ones and an incomplete last one. Lines of 0.1 get today's keys."""
    if not path.is_file():
        return []
    texts = path.read_text("utf-8", errors="replace").split("\n")[:-1]
    return [_rename_keys(line) for line in map(_parse_line, texts) if line is not None]


def _parse_line(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


def _rename_keys(line: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {_KEYS_OF_0_1.get(key, key): value for key, value in line.items()}
    if "kind" in renamed:
        renamed["kind"] = _KINDS_OF_0_1.get(renamed["kind"], renamed["kind"])
    return renamed


def _mean_ious(results: Sequence[RolloutResult]) -> tuple[float | None, ...]:
    """Average the IoU of each correction or frame over the results that have it, without NaN."""
    longest = max(len(result.ious) for result in results)
    columns = [torch.cat([result.ious[k] for result in results if len(result.ious) > k]) for k in range(longest)]
    means = [column[~column.isnan()].mean() for column in columns]
    return tuple(None if mean.isnan() else round(float(mean), 4) for mean in means)


def _truncate(path: Path, step: int) -> None:
    """Remove the lines of steps after `step`."""
    remaining = [line for line in read_lines(path) if line["step"] <= step]
    if path.is_file():
        with atomic_write(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in remaining).encode())


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")

"""Report of a run: learning curves, quality on the validation sets, and predictions on their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from masklet.evaluate.error_images import LEGEND, draw_comparison
from masklet.evaluate.plots import draw_line_plot
from masklet.evaluate.report import CaptionedImage, Plot, Report, Table, write_report
from masklet.model.sam2 import Sam2
from masklet.prompts import click
from masklet.train.image_rollout import (
    RolloutOptions,
    condition_without_memory,
    decode_prompts,
    encode_images,
    select_masks,
    upsample_logits,
)
from masklet.train.loss_weights import LossWeights
from masklet.train.metrics_log import LOG_FILE, VALIDATION_FILE, read_lines
from masklet.train.prompt_sampling import sample_prompts
from masklet.train.prompt_shares import PromptShares
from masklet.train.settings import Settings
from masklet.train.validation import SEED, Examples

MAX_IMAGES = 12  # per validation set


def write_run_report(out: Path, settings: Settings, model: Sam2, validation: Mapping[str, Examples]) -> None:
    """Write `report.html`, `report.md` and `report.json` to the folder of a run.

    The images are the first of each validation set, with the prediction after one click at the center of the object.
    """
    lines, validations = read_lines(out / LOG_FILE), read_lines(out / VALIDATION_FILE)
    report = Report(
        title=f"Training of {settings.model}",
        facts={line.partition(" = ")[0]: line.partition(" = ")[2] for line in settings.to_toml().splitlines()},
        tables=[_validation_table(validations), _metrics_table(lines)],
        numbers={"log": lines, "validation": validations},
        plots=_draw_plots(lines, validations),
        images=[image for examples in validation.values() for image in _draw_predictions(model, examples)],
    )
    write_report(report, out)


@torch.no_grad()
def _draw_predictions(model: Sam2, examples: Examples) -> list[CaptionedImage]:
    """Draw the ground truth, one click and its prediction on the first examples, sorted by increasing IoU."""
    frames, masks = (part[:MAX_IMAGES].to(model.no_pointer.device) for part in examples)
    ground_truth = masks[:, 0]
    rngs = [np.random.default_rng((SEED, row)) for row in range(len(frames))]
    options = RolloutOptions(PromptShares(0, 1, 0, 1, 0), LossWeights(), 0)
    model.eval()
    prompts = sample_prompts(ground_truth, options.shares, rngs)
    features = condition_without_memory(model, encode_images(model, frames, options))
    candidates = decode_prompts(model, features, prompts, options)
    model.train()
    logits = select_masks(candidates, prompts.ambiguous).logits
    predicted = upsample_logits(logits, ground_truth.shape[-2:])[:, 0] > 0
    intersections, unions = (predicted & ground_truth).sum(dim=(1, 2)), (predicted | ground_truth).sum(dim=(1, 2))
    ious = intersections / unions.clamp(min=1)
    clicks = (prompts.points[:, 1] * ground_truth.shape[-1]).round().tolist()
    images, expected, predictions = (part.cpu().numpy() for part in (frames, ground_truth, predicted))
    return [
        CaptionedImage(
            f"IoU {float(ious[k]):.2f} after one click ({LEGEND})",
            draw_comparison(images[k], expected[k], predictions[k], click(*clicks[k])),
        )
        for k in ious.argsort().tolist()
    ]


def _validation_table(validations: Sequence[Mapping[str, Any]]) -> Table:
    names = [name for name in (validations[-1] if validations else {}) if name.startswith("click_") or name == "box"]
    rows = [
        [f"{entry['set']}, step {entry['step']}", *(f"{entry[name]:.3f}" for name in names)] for entry in validations
    ]
    note = "Mean IoU of the averaged weights, on the same objects each time, with clicks at the center of the error."
    return Table("Quality", ["set", *(name.replace("_", " ") for name in names)], rows, note)


def _metrics_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    names = ("step", "seconds", "size", "learning_rate", "loss", "focal", "dice", "iou", "object_score", "area")
    latest = {line["kind"]: line for line in lines}
    rows = [[kind, *(str(line[name]) for name in names)] for kind, line in latest.items()]
    return Table("Final metrics", ["", *(name.replace("_", " ") for name in names)], rows)


def _draw_plots(lines: Sequence[Mapping[str, Any]], validations: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """Plot loss, IoU in training and IoU in validation against steps. Plots without points are left out."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {
        "Loss": {},
        "IoU in training": {},
        "IoU on other data": {},
    }
    for line in lines:
        curves["Loss"].setdefault(line["kind"], []).append((line["step"], line["loss"]))
        for number, value in enumerate(line["ious"]):
            if value is not None:
                name = f"{line['kind']} {number}"
                curves["IoU in training"].setdefault(name, []).append((line["step"], value))
    for entry in validations:
        for name in ("click_1", "click_5", "box"):
            curves["IoU on other data"].setdefault(f"{entry['set']} {name}", []).append((entry["step"], entry[name]))
    return [Plot(title, draw_line_plot(series, "step", title)) for title, series in curves.items() if series]

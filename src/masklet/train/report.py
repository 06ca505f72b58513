"""A page about a run: its curves, its quality on sets it does not train on, and what it sees and answers there."""

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
from masklet.train.image_rollout import Plan, asked_of, chosen, encoded, stretched, unremembering
from masklet.train.losses import Weights
from masklet.train.metrics_log import LOG, VALIDATION, read_lines
from masklet.train.prompt_sampling import Shares, first_prompts
from masklet.train.settings import Settings
from masklet.train.validation import SEED, Examples

SHOWN = 12  # pictures


def report(out: Path, settings: Settings, model: Sam2, validation: Mapping[str, Examples]) -> None:
    """Write `report.html`, `report.md` and `report.json` about the run in the folder `out`.

    The pictures are the first of each validation set, each answered after one click in the middle, worst first.
    """
    lines, visits = read_lines(out / LOG), read_lines(out / VALIDATION)
    pictures = [picture for examples in validation.values() for picture in answered_pictures(model, examples)]
    made = Report(
        title=f"Training of {settings.model}",
        facts={name.partition(" = ")[0]: name.partition(" = ")[2] for name in settings.to_toml().splitlines()},
        tables=[_quality(visits), _last(lines)],
        numbers={"log": lines, "validation": visits},
        plots=_plots(lines, visits),
        images=pictures,
    )
    write_report(made, out)


@torch.no_grad()
def answered_pictures(model: Sam2, examples: Examples) -> list[CaptionedImage]:
    """The first examples with the true mask, the answer to one click in the middle, and the click; worst first."""
    frames, truth = (part[:SHOWN].to(model.no_pointer.device) for part in examples)
    rngs = [np.random.default_rng((SEED, row)) for row in range(len(frames))]
    plan = Plan(Shares(0, 1, 0, 1, 0), Weights(), 0)
    model.eval()
    asked = first_prompts(truth[:, 0], plan.shares, rngs)
    answer = asked_of(model, unremembering(model, encoded(model, frames, plan)), asked, plan)
    model.train()
    found = stretched(chosen(answer, asked.ambiguous).logits, truth.shape[-2:])[:, 0] > 0
    overlaps = (found & truth[:, 0]).sum(dim=(1, 2)) / (found | truth[:, 0]).sum(dim=(1, 2)).clamp(min=1)
    clicks = (asked.points[:, 1] * truth.shape[-1]).round().tolist()
    order = overlaps.argsort().tolist()
    return [
        CaptionedImage(
            f"IoU {float(overlaps[k]):.2f} after one click ({LEGEND})",
            draw_comparison(
                frames[k].cpu().numpy(), truth[k, 0].cpu().numpy(), found[k].cpu().numpy(), click(*clicks[k])
            ),
        )
        for k in order
    ]


def _quality(visits: Sequence[Mapping[str, Any]]) -> Table:
    names = [name for name in (visits[-1] if visits else {}) if name.startswith("click_") or name == "box"]
    rows = [[f"{visit['set']}, step {visit['step']}", *(f"{visit[name]:.3f}" for name in names)] for visit in visits]
    note = "Mean IoU of the averaged weights on the same objects each time; clicks in the middle of the error."
    return Table("Quality", ["set", *(name.replace("_", " ") for name in names)], rows, note)


def _last(lines: Sequence[Mapping[str, Any]]) -> Table:
    names = ("step", "seconds", "size", "rate", "loss", "focal", "dice", "iou", "occlusion", "area")
    latest = {line["kind"]: line for line in lines}
    return Table("At the end", ["", *names], [[kind, *(str(line[n]) for n in names)] for kind, line in latest.items()])


def _plots(lines: Sequence[Mapping[str, Any]], visits: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """Loss, IoU in training and IoU in validation against steps, as far as there is something to draw."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {
        "Loss": {},
        "IoU in training": {},
        "IoU on other data": {},
    }
    for line in lines:
        curves["Loss"].setdefault(line["kind"], []).append((line["step"], line["loss"]))
        for place, value in enumerate(line["overlaps"]):
            if value is not None:
                name = f"{line['kind']} {place}"
                curves["IoU in training"].setdefault(name, []).append((line["step"], value))
    for visit in visits:
        for name in ("click_1", "click_5", "box"):
            curves["IoU on other data"].setdefault(f"{visit['set']} {name}", []).append((visit["step"], visit[name]))
    return [Plot(title, draw_line_plot(series, "step", title)) for title, series in curves.items() if series]

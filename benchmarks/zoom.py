"""What looking closer brings and costs: mean IoU in percent of the embedded model's masks of annotated pictures, given
with --judge, and the median time of an answer to a box, the picture's or the window's encoding included.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import masklet
from benchmarks.machine import seconds
from masklet.datasets.dataset import Images
from masklet.datasets.layouts import open_images
from masklet.evaluate.click_simulator import simulate_box
from masklet.evaluate.image_protocol import PromptPlan, evaluate_image
from masklet.evaluate.image_report import summarize
from masklet.segmenter import Segmenter

WAYS = ((256, 0.0), (384, 0.0), (512, 0.0), (256, 1.5), (256, 2.0), (256, 3.0), (384, 2.0))
PROMPTS = PromptPlan((), box=True, mask=False)
ANSWERS = 31  # that are timed


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every size and zoom; a row each."""
    parser = argparse.ArgumentParser(prog="scripts/bench zoom", description=__doc__)
    parser.add_argument("--judge", type=Path, required=True, help="annotated pictures")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args(arguments)
    data = open_images(asked.judge)
    return [_row(asked.model, asked.device, data, size, zoom) for size, zoom in WAYS]


def columns() -> list[tuple[str, str, str]]:
    """(key, heading, format) of the table."""
    return [
        ("size", "input, px", "{}"),
        ("zoom", "zoom", "{:g}"),
        *((name, name, "{:.1f}") for name in PROMPTS.names),
        *((name, f"box, {name}", "{:.1f}") for name in ("small", "medium", "large")),
        ("ms", "ms an answer", "{:.0f}"),
    ]


def _row(name: str, device: str, data: Images, size: int, zoom: float) -> dict[str, Any]:
    model = masklet.load(name, device=device, input_size=size, zoom=zoom)
    means = summarize([one for record in data.names for one in evaluate_image(model, data[record], PROMPTS)])
    return {
        "device": device,
        "size": size,
        "zoom": zoom,
        **{prompt: 100 * means[prompt]["per picture"] for prompt in PROMPTS.names},
        **{group: 100 * (means["box"][group] or 0) for group in ("small", "medium", "large")},
        "ms": 1e3 * _time(model, data, device),
    }


def _time(model: Segmenter, data: Images, device: str) -> float:
    """The median time to answer a box in a picture that was not seen before."""
    times = []
    for name in data.names[:ANSWERS]:
        image, annotation = data[name].read()
        prompt = simulate_box(annotation.mask(annotation.object_ids[0]))
        times.append(seconds(lambda image=image, prompt=prompt: model.segment(image, prompt), device))
    return statistics.median(times)

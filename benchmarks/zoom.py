"""Accuracy and time of the embedded model with several input sizes and zooms.

Accuracy is the mean IoU in percent on the annotated images of --judge. Time is the median of a prediction from a box,
including the encoding of the image or of its crop.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import masklet
from benchmarks.machine import measure_seconds
from masklet.datasets.dataset import Images
from masklet.datasets.layouts import open_images
from masklet.evaluate.click_simulator import simulate_box
from masklet.evaluate.image_protocol import PromptPlan, evaluate_image
from masklet.evaluate.image_report import PER_IMAGE, summarize
from masklet.segmenter import Segmenter

SIZES_AND_ZOOMS = ((256, 0.0), (384, 0.0), (512, 0.0), (256, 1.5), (256, 2.0), (256, 3.0), (384, 2.0))
PROMPTS = PromptPlan((), box=True, mask=False)
NUM_TIMED = 31  # predictions that are timed


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every input size and zoom and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench zoom", description=__doc__)
    parser.add_argument("--judge", type=Path, required=True, help="annotated images")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    data = open_images(options.judge)
    return [_measure(options.model, options.device, data, size, zoom) for size, zoom in SIZES_AND_ZOOMS]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("size", "input, px", "{}"),
        ("zoom", "zoom", "{:g}"),
        *((name, name, "{:.1f}") for name in PROMPTS.names),
        *((name, f"box, {name}", "{:.1f}") for name in ("small", "medium", "large")),
        ("ms", "ms per prediction", "{:.0f}"),
    ]


def _measure(name: str, device: str, data: Images, size: int, zoom: float) -> dict[str, Any]:
    model = masklet.load(name, device=device, input_size=size, zoom=zoom)
    means = summarize([result for record in data.names for result in evaluate_image(model, data[record], PROMPTS)])
    return {
        "device": device,
        "size": size,
        "zoom": zoom,
        **{prompt: 100 * means[prompt][PER_IMAGE] for prompt in PROMPTS.names},
        **{group: 100 * (means["box"][group] or 0) for group in ("small", "medium", "large")},
        "ms": 1e3 * _measure_time(model, data, device),
    }


def _measure_time(model: Segmenter, data: Images, device: str) -> float:
    """Measure the median time of a prediction from a box on a new image, in seconds."""
    times = []
    for name in data.names[:NUM_TIMED]:
        image, annotation = data[name].read()
        prompt = simulate_box(annotation.mask(annotation.object_ids[0]))
        times.append(measure_seconds(lambda image=image, prompt=prompt: model.segment(image, prompt), device))
    return statistics.median(times)

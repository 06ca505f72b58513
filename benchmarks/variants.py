"""Accuracy and cost of networks of several widths and depths, trained from scratch on the same data for the same time.

Networks are trained one after the other on one thread. Accuracy is IoU on held-out images, with zoom.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import measure_median_seconds
from masklet.backends.torch import build
from masklet.checkpoints import read_tensors
from masklet.config import CONFIGS, EMBEDDED_MODEL, ModelConfig, ModelDefaults
from masklet.datasets.layouts import open_images
from masklet.evaluate.image_protocol import PromptPlan, evaluate_image
from masklet.evaluate.image_report import PER_IMAGE, summarize
from masklet.evaluate.plots import draw_line_plot
from masklet.segmenter import Segmenter
from masklet.train.metrics_log import LOG_FILE
from masklet.train.run_state import WEIGHTS_FILE
from masklet.views.view_fields import view_of_zoom

SHAPES = {
    "width 40, blocks 1 1 4 1": {"width": 40, "stages": (1, 1, 4, 1), "global_blocks": (4, 5)},
    "width 48, blocks 1 2 5 1": {},
    "width 64, blocks 1 2 5 1": {"width": 64},
}
PROMPTS = PromptPlan((1, 3, 5), box=True, mask=False)


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Train and measure every shape and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench variants", description=__doc__)
    parser.add_argument("--data", action="append", required=True, metavar="PATH[=WEIGHT]", help="training data")
    parser.add_argument("--judge", type=Path, required=True, help="annotated images that are not in the training data")
    parser.add_argument("--minutes", type=float, default=12, help="training time of each network")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.train:
        return _train(options, *options.train)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return [
            _measure_shape(options, name, Path(folder) / str(index), arguments) for index, name in enumerate(SHAPES)
        ]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("shape", "shape", "{}"),
        ("parameters", "parameters, M", "{:.2f}"),
        ("file_mb", "float16, MB", "{:.1f}"),
        ("encode_ms", "encode 256 px, ms", "{:.0f}"),
        ("steps", "steps", "{}"),
        *((name, name, "{:.1f}") for name in PROMPTS.names),
    ]


def plot(rows: list[dict[str, Any]]) -> str:
    """Draw the IoU of first predictions in training against time as SVG."""
    return draw_line_plot(
        {row["shape"]: row["curve"] for row in rows}, "minutes", "IoU of first predictions in training"
    )


def _make_config(name: str) -> ModelConfig:
    """Return the configuration of a shape, under the name of the embedded model."""
    return replace(CONFIGS[EMBEDDED_MODEL], **SHAPES[name])


def _measure_shape(options: argparse.Namespace, name: str, out: Path, arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-c", "import sys; from benchmarks.variants import main; main(sys.argv[1:])"]
    subprocess.run([*command, *arguments, "--train", name, str(out)], check=True, stdout=subprocess.DEVNULL)
    tensors = read_tensors(out / WEIGHTS_FILE)
    backend = build(_make_config(name), tensors, device=options.device, input_size=options.size)
    model = Segmenter(backend, view_of_zoom(ModelDefaults.of(EMBEDDED_MODEL).zoom))
    data = open_images(options.judge)
    results = [result for record in data.names for result in evaluate_image(model, data[record], PROMPTS)]
    lines = [json.loads(line) for line in (out / LOG_FILE).read_text().splitlines()]
    count = sum(value.size for value in tensors.values())
    image = np.random.RandomState(0).randint(0, 256, (256, 256, 3), np.uint8)
    encoder = build(_make_config(name), tensors, device=options.device, input_size=256)
    means = summarize(results)
    return {
        "device": options.device,
        "shape": name,
        "parameters": count / 1e6,
        "file_mb": 2 * count / 1e6,
        "encode_ms": 1e3 * measure_median_seconds(lambda: encoder.encode([image]), 15, options.device),
        "steps": lines[-1]["step"],
        **{prompt: 100 * means[prompt][PER_IMAGE] for prompt in PROMPTS.names},
        "curve": [(line["seconds"] / 60, line["ious"][0]) for line in lines],
    }


def _train(options: argparse.Namespace, name: str, out: str) -> list[dict[str, Any]]:
    """Train one shape in this process, where it replaces the configuration of the embedded model."""
    CONFIGS[EMBEDDED_MODEL] = _make_config(name)
    torch.set_num_threads(1)
    from masklet.cli.main import main as masklet

    data = [argument for path in options.data for argument in ("--data", path)]
    size = ("--set", f"input_sizes={options.size}", "--set", "input_size_starts=0.0", "--set", "validate_minutes=1000")
    status = masklet(["train", "nano-images", "--out", out, "--minutes", str(options.minutes), *data, *size])
    if status:
        sys.exit(status)
    return []

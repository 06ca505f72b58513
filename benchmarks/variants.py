"""Networks of several widths and depths, trained from nothing on the same data for the same time, one after another on
one thread: what each has learned (IoU on pictures kept back, objects seen in windows), and what each costs.
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

from benchmarks.machine import median_seconds
from masklet.backends.torch import build
from masklet.checkpoints import read_tensors
from masklet.config import CONFIGS, EMBEDDED_MODEL, ModelConfig, ModelDefaults
from masklet.datasets.layouts import open_images
from masklet.evaluate.image_protocol import PromptPlan, evaluate_image
from masklet.evaluate.image_report import summarize
from masklet.evaluate.plots import draw_line_plot
from masklet.segmenter import Segmenter
from masklet.train.metrics_log import LOG_FILE
from masklet.train.run_state import WEIGHTS_FILE

SHAPES = {
    "width 40, blocks 1 1 4 1": {"width": 40, "stages": (1, 1, 4, 1), "global_blocks": (4, 5)},
    "width 48, blocks 1 2 5 1": {},
    "width 64, blocks 1 2 5 1": {"width": 64},
}
PROMPTS = PromptPlan((1, 3, 5), box=True, mask=False)


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Train and measure every shape; a row each."""
    parser = argparse.ArgumentParser(prog="scripts/bench variants", description=__doc__)
    parser.add_argument("--data", action="append", required=True, metavar="PATH[=WEIGHT]", help="to train on")
    parser.add_argument("--judge", type=Path, required=True, help="annotated pictures that are not among the data")
    parser.add_argument("--minutes", type=float, default=12, help="of training, for each")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.train:
        return _train(asked, *asked.train)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return [_row(asked, name, Path(folder) / str(place), arguments) for place, name in enumerate(SHAPES)]


def columns() -> list[tuple[str, str, str]]:
    """(key, heading, format) of the table."""
    return [
        ("shape", "shape", "{}"),
        ("parameters", "parameters, M", "{:.2f}"),
        ("file_mb", "float16, MB", "{:.1f}"),
        ("encode_ms", "encode 256 px, ms", "{:.0f}"),
        ("steps", "steps", "{}"),
        *((name, name, "{:.1f}") for name in PROMPTS.names),
    ]


def plot(rows: list[dict[str, Any]]) -> str:
    """IoU of training's first answers against time, as an SVG."""
    return draw_line_plot({row["shape"]: row["curve"] for row in rows}, "minutes", "IoU in training, of first answers")


def shaped(name: str) -> ModelConfig:
    """The configuration of a shape, which bears the embedded model's name."""
    return replace(CONFIGS[EMBEDDED_MODEL], **SHAPES[name])


def _row(asked: argparse.Namespace, name: str, out: Path, arguments: list[str]) -> dict[str, Any]:
    words = [sys.executable, "-c", "import sys; from benchmarks.variants import main; main(sys.argv[1:])"]
    subprocess.run([*words, *arguments, "--train", name, str(out)], check=True, stdout=subprocess.DEVNULL)
    tensors = read_tensors(out / WEIGHTS_FILE)
    backend = build(shaped(name), tensors, device=asked.device, input_size=asked.size)
    model = Segmenter(backend, ModelDefaults.of(EMBEDDED_MODEL).zoom)
    data = open_images(asked.judge)
    results = [one for record in data.names for one in evaluate_image(model, data[record], PROMPTS)]
    lines = [json.loads(line) for line in (out / LOG_FILE).read_text().splitlines()]
    count = sum(value.size for value in tensors.values())
    picture = np.random.RandomState(0).randint(0, 256, (256, 256, 3), np.uint8)
    encoder = build(shaped(name), tensors, device=asked.device, input_size=256)
    means = summarize(results)
    return {
        "device": asked.device,
        "shape": name,
        "parameters": count / 1e6,
        "file_mb": 2 * count / 1e6,
        "encode_ms": 1e3 * median_seconds(lambda: encoder.encode([picture]), 15, asked.device),
        "steps": lines[-1]["step"],
        **{prompt: 100 * means[prompt]["per picture"] for prompt in PROMPTS.names},
        "curve": [(line["seconds"] / 60, line["overlaps"][0]) for line in lines],
    }


def _train(asked: argparse.Namespace, name: str, out: str) -> list[dict[str, Any]]:
    """Train one shape, in a process of its own: it takes the place of the embedded model there."""
    CONFIGS[EMBEDDED_MODEL] = shaped(name)
    torch.set_num_threads(1)
    from masklet.cli.main import main as masklet

    data = [word for one in asked.data for word in ("--data", one)]
    size = ("--set", f"sizes={asked.size}", "--set", "size_starts=0.0", "--set", "validate_minutes=1000")
    status = masklet(["train", "nano-images", "--out", out, "--minutes", str(asked.minutes), *data, *size])
    if status:
        sys.exit(status)
    return []

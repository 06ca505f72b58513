"""Latency of a loop that tracks one object through frames as they arrive.

Time is from an image to the masks at its size, the median of the frames after those that fill the memory bank. Other
programs on the machine change the processor time little. Without them, the latency with one thread is about the same.
The load is the mean number of programs that wanted a processor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

import cv2
import torch

import masklet
from benchmarks.checkpoints import make_checkpoint
from benchmarks.machine import ROOT
from benchmarks.plots import draw_bars
from masklet.prompts import box

CLIP = ROOT / "examples/car.mp4"
PROMPT = box(90, 150, 210, 260)
WARM_UP = 8  # frames


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every model on every runtime and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench live", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", default="nano,sam2.1-tiny@512", help="NAME or NAME@SIZE, the side of the input")
    parser.add_argument("--runtimes", default="onnx,torch")
    parser.add_argument("--frames", type=int, default=12, help=f"frames that are timed, after {WARM_UP} that are not")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return [
        _measure(name, runtime, options)
        for name in options.models.split(",")
        for runtime in options.runtimes.split(",")
    ]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("model", "model", "{}"),
        ("size", "input, px", "{}"),
        ("runtime", "runtime", "{}"),
        ("processor_ms", "processor, ms", "{:.0f}"),
        ("passed_ms", "passed, ms", "{:.0f}"),
        ("load", "load", "{:.0f}"),
    ]


def plot(rows: list[dict[str, Any]]) -> str:
    """Draw the processor time of every model and runtime as SVG."""
    bars = {f"{row['model']}, {row['size']} px, {row['runtime']}": row["processor_ms"] for row in rows}
    return draw_bars(bars, "Processor time per frame, ms", max(bars.values()))


def _measure(name: str, runtime: str, options: argparse.Namespace) -> dict[str, Any]:
    name, _, size = name.partition("@")
    source = name if name == "nano" else make_checkpoint(name)
    model = masklet.load(source, device=options.device, runtime=runtime, input_size=int(size) if size else None)
    model.warm_up()
    cache = masklet.DiskCache(0)
    tracker = masklet.Tracker(model.backend, disk_cache=cache, view=model.view, memory=model.memory)
    passed, processor = [], []
    for frame in masklet.open_video(CLIP).frames(range(WARM_UP + options.frames)):
        started = time.perf_counter(), time.process_time()
        masks = tracker.step(frame.index, frame.image) if frame.index else tracker.prompt(0, {1: PROMPT}, frame.image)
        masks.binary  # noqa: B018 - the masks are resized to the frame
        passed.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    return {
        "device": options.device,
        "model": name,
        "size": model.backend.input_size,
        "runtime": runtime,
        "processor_ms": 1000 * statistics.median(processor[WARM_UP:]),
        "passed_ms": 1000 * statistics.median(passed[WARM_UP:]),
        "load": os.getloadavg()[0],
    }

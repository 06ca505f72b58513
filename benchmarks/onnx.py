"""Time of PyTorch and onnxruntime on the same processor: each graph, an image, a video frame, and a cold command.

The runtimes are called in turn, so that the ratio does not depend on drifts of the machine's speed. A ratio above 1
means that onnxruntime is faster. Each object has 7 memories and 16 pointers, as in steady state. The command is timed
from the start of its process to its end, with an exported folder or, on PyTorch, the checkpoint.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkpoints import make_checkpoint
from masklet import Segmenter, box, click
from masklet.backend import NO_PROMPT, Backend, Recall, build_query
from masklet.backends import onnx as onnx_backend
from masklet.backends import torch as torch_backend
from masklet.export import export_onnx, read_model
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.tracker import Tracker

RUNTIMES = ("torch", "onnx")
IMAGE = np.random.RandomState(0).randint(0, 256, (480, 640, 3), np.uint8)
BOXES = {1: box(40, 40, 300, 300), 2: box(320, 60, 600, 400)}
Work = Callable[[], object]


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every requested model and input size and return one row for each kind of work."""
    parser = argparse.ArgumentParser(prog="scripts/bench onnx", description=__doc__)
    parser.add_argument("--models", default="sam2.1-tiny,nano")
    parser.add_argument("--sizes", default="1024,512")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    return [
        {"model": name, "size": int(size), "device": "cpu", **row}
        for name in options.models.split(",")
        for size in options.sizes.split(",")
        for row in [
            *_measure_graphs(name, int(size), options.runs),
            _measure_cold_command(name, int(size), options.runs),
        ]
    ]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    times = [(f"{runtime}_ms", f"{runtime}, ms", "{:.0f}") for runtime in RUNTIMES]
    return [
        ("model", "model", "{}"),
        ("size", "size", "{}"),
        ("work", "work", "{}"),
        *times,
        ("ratio", "ratio", "{:.2f}"),
    ]


def _measure_graphs(name: str, size: int, runs: int) -> list[dict[str, Any]]:
    """Measure each method of the backend, an image and a frame, on both runtimes in turn."""
    network = read_model(make_checkpoint(name), size)
    built = (torch_backend.build, onnx_backend.build)
    backends: list[Backend] = [make(network.config, network.tensors, device="cpu", input_size=size) for make in built]
    both = [_make_work(backend) for backend in backends]
    return [_measure_pairs(work, both[0][work], both[1][work], runs) for work in both[0]]


def _make_work(backend: Backend) -> dict[str, Work]:
    features = backend.encode([IMAGE])[0]
    conditioned = backend.attend(features, [Recall()])
    decoded = backend.decode(conditioned, [NO_PROMPT], hide=True)
    memory = backend.memorize(features, decoded, [False])[0]
    recall = Recall(tuple((slot, memory) for slot in range(7)), tuple((ago, memory) for ago in range(16)))
    query = build_query(np.array([[0.3, 0.4]]), np.array([1], np.int32), ambiguous=True)
    return {
        "encode": lambda: backend.encode([IMAGE]),
        "attend": lambda: backend.attend(features, [recall]),
        "attend, 3 objects": lambda: backend.attend(features, [recall] * 3),
        "decode": lambda: backend.decode(conditioned, [query]),
        "decode, 16 prompts": lambda: backend.decode(conditioned, [query] * 16),
        "memorize": lambda: backend.memorize(features, decoded, [False]),
        "an image": lambda: Segmenter(backend).segment(IMAGE, click(90, 60)).binary,
        "a frame, 2 objects": _make_frame_work(backend),
    }


def _make_frame_work(backend: Backend) -> Work:
    """Return a function that tracks the next frame of a stream."""
    tracker = Tracker(backend, disk_cache=DiskCache(0))
    tracker.prompt(0, BOXES, IMAGE)
    frames = iter(range(1, sys.maxsize))
    return lambda: tracker.step(next(frames), IMAGE).binary


def _measure_cold_command(name: str, size: int, runs: int) -> dict[str, Any]:
    """Measure `masklet segment` from the start of its process to its end."""
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "exported"
        export_onnx(read_model(make_checkpoint(name), size), exported)
        torch, onnx = (_make_command(model, size, folder) for model in (make_checkpoint(name), exported))
        return _measure_pairs("the command, cold", torch, onnx, runs)


def _make_command(model: Path, size: int, folder: str) -> Work:
    example = Path(__file__).resolve().parents[1] / "examples" / "cat.jpg"
    words = [
        "segment",
        example,
        "--point",
        "230,150",
        "--input-size",
        size,
        "--overwrite",
        "--out",
        Path(folder) / "masks",
    ]
    command = [sys.executable, "-m", "masklet", *map(str, words), "--model", str(model)]
    return lambda: subprocess.run(command, check=True, capture_output=True)


def _measure_pairs(work: str, torch: Work, onnx: Work, runs: int) -> dict[str, Any]:
    """Measure `runs` pairs of calls after one warm-up pair: medians, and the median of the pairs' ratios."""
    pairs = [(_measure_seconds(torch), _measure_seconds(onnx)) for _ in range(runs + 1)][1:]
    medians = [1e3 * statistics.median(times) for times in zip(*pairs, strict=True)]
    ratio = statistics.median(first / second for first, second in pairs)
    return {"work": work, "torch_ms": medians[0], "onnx_ms": medians[1], "ratio": ratio}


def _measure_seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

"""PyTorch beside onnxruntime on the same processor, call by call in turn, so that the ratio holds when the machine's
speed drifts: each graph, a picture and a frame of video from end to end, and the command line from the shell to the
first mask written. Above 1, onnxruntime is faster.

The network has 7 memories and 16 pointers of each object, as in steady state. The command runs an exported folder, or
the checkpoint on PyTorch.
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

from benchmarks.checkpoints import checkpoint
from masklet import Segmenter, box, click
from masklet.backend import NO_PROMPT, Backend, Recall, build_query
from masklet.backends import onnx as onnx_backend
from masklet.backends import torch as torch_backend
from masklet.export import export_onnx, read_model
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.tracker import Tracker

RUNTIMES = ("torch", "onnx")
PICTURE = np.random.RandomState(0).randint(0, 256, (480, 640, 3), np.uint8)
BOXES = {1: box(40, 40, 300, 300), 2: box(320, 60, 600, 400)}
Work = Callable[[], object]


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every model and size asked for; a row for each kind of work."""
    parser = argparse.ArgumentParser(prog="scripts/bench onnx", description=__doc__)
    parser.add_argument("--models", default="sam2.1-tiny,nano")
    parser.add_argument("--sizes", default="1024,512")
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args(arguments)
    return [
        {"model": name, "size": int(size), "device": "cpu", **row}
        for name in asked.models.split(",")
        for size in asked.sizes.split(",")
        for row in [*_graphs(name, int(size), asked.runs), _cold(name, int(size), asked.runs)]
    ]


def columns() -> list[tuple[str, str, str]]:
    """(key, heading, format) of the table."""
    times = [(f"{runtime}_ms", f"{runtime}, ms", "{:.0f}") for runtime in RUNTIMES]
    return [
        ("model", "model", "{}"),
        ("size", "size", "{}"),
        ("work", "work", "{}"),
        *times,
        ("ratio", "ratio", "{:.2f}"),
    ]


def _graphs(name: str, size: int, runs: int) -> list[dict[str, Any]]:
    """Every verb and the whole path, on both runtimes in turn."""
    network = read_model(checkpoint(name), size)
    built = (torch_backend.build, onnx_backend.build)
    backends: list[Backend] = [make(network.config, network.tensors, device="cpu", size=size) for make in built]
    both = [_work(backend) for backend in backends]
    return [_row(work, both[0][work], both[1][work], runs) for work in both[0]]


def _work(backend: Backend) -> dict[str, Work]:
    features = backend.encode([PICTURE])[0]
    seen = backend.attend(features, [Recall()])
    decoded = backend.decode(seen, [NO_PROMPT], hide=True)
    memory = backend.memorize(features, decoded, [False])[0]
    recall = Recall(tuple((slot, memory) for slot in range(7)), tuple((ago, memory) for ago in range(16)))
    query = build_query(np.array([[0.3, 0.4]]), np.array([1], np.int32), ambiguous=True)
    return {
        "encode": lambda: backend.encode([PICTURE]),
        "attend": lambda: backend.attend(features, [recall]),
        "attend, 3 objects": lambda: backend.attend(features, [recall] * 3),
        "decode": lambda: backend.decode(seen, [query]),
        "decode, 16 prompts": lambda: backend.decode(seen, [query] * 16),
        "memorize": lambda: backend.memorize(features, decoded, [False]),
        "a picture": lambda: Segmenter(backend).segment(PICTURE, click(90, 60)).binary,
        "a frame, 2 objects": _frame(backend),
    }


def _frame(backend: Backend) -> Work:
    """The next frame of a stream."""
    tracker = Tracker(backend, disk_cache=DiskCache(0))
    tracker.prompt(0, BOXES, PICTURE)
    frames = iter(range(1, sys.maxsize))
    return lambda: tracker.step(next(frames), PICTURE).binary


def _cold(name: str, size: int, runs: int) -> dict[str, Any]:
    """`masklet segment` from the start of its process to its end."""
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "exported"
        export_onnx(read_model(checkpoint(name), size), exported)
        torch, onnx = (_command(model, size, folder) for model in (checkpoint(name), exported))
        return _row("the command, cold", torch, onnx, runs)


def _command(model: Path, size: int, folder: str) -> Work:
    example = Path(__file__).resolve().parents[1] / "examples" / "cat.jpg"
    words = ["segment", example, "--point", "230,150", "--size", size, "--overwrite", "--out", Path(folder) / "masks"]
    command = [sys.executable, "-m", "masklet", *map(str, words), "--model", str(model)]
    return lambda: subprocess.run(command, check=True, capture_output=True)


def _row(work: str, torch: Work, onnx: Work, runs: int) -> dict[str, Any]:
    """Medians of `runs` pairs after one that does not count; the ratio is the median of the pairs' ratios."""
    pairs = [(_seconds(torch), _seconds(onnx)) for _ in range(runs + 1)][1:]
    medians = [1e3 * statistics.median(times) for times in zip(*pairs, strict=True)]
    ratio = statistics.median(first / second for first, second in pairs)
    return {"work": work, "torch_ms": medians[0], "onnx_ms": medians[1], "ratio": ratio}


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

"""Peak memory of tracking against the number of frames: the micro model on a generated clip, with a disk cache.

Each length is measured in a process of its own. Frames are generated one at a time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from benchmarks.machine import measure_peak_mb

LENGTHS = "100,1000,10000"
PROGRESS_FRAMES = 500  # frames between two lines of progress


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every requested length and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench length", description=__doc__)
    parser.add_argument("--lengths", default=LENGTHS)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args(arguments)
    rows = []
    for length in options.lengths.split(","):
        code = f"from benchmarks.length import measure; measure({int(length)}, {options.objects}, {options.size})"
        process = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(process.stdout))
        print(process.stdout.strip(), file=sys.stderr, flush=True)
    return rows


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("frames", "frames", "{}"),
        ("objects", "objects", "{}"),
        ("size", "size", "{}"),
        ("peak_mb", "peak memory, MB", "{:.1f}"),
        ("disk_mb", "disk cache, MB", "{:.0f}"),
        ("ms_per_frame", "ms per frame", "{:.1f}"),
    ]


def plot(rows: list[dict[str, Any]]) -> str:
    """Draw peak memory against the number of frames as SVG."""
    from math import log10

    width, height, top = 560, 240, 1.15 * max(row["peak_mb"] for row in rows)
    low, span = log10(rows[0]["frames"]), max(log10(rows[-1]["frames"] / rows[0]["frames"]), 1e-9)
    points = [(60 + 460 * (log10(r["frames"]) - low) / span, 190 - 160 * r["peak_mb"] / top, r) for r in rows]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#0072b2"/>'
        f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{r["peak_mb"]:.0f} MB</text>'
        f'<text x="{x:.1f}" y="210" text-anchor="middle">{r["frames"]:,} frames</text>'
        for x, y, r in points
    )
    font = 'font-family="sans-serif" font-size="12"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>'
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<path d="M60 20V190H530" fill="none" stroke="#888"/><text x="60" y="14">peak memory of the process</text>'
        f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="2"/>{dots}</svg>'
    )


def measure(length: int, objects: int, size: int) -> None:
    """Track a generated clip of `length` frames in this process and print a row as JSON."""
    import time

    import numpy as np

    import masklet
    from benchmarks.checkpoints import make_checkpoint
    from masklet.tracking.tracker import Tracker

    tracker = Tracker(masklet.load(make_checkpoint("sam2.1-micro"), device="cpu", input_size=size).backend)
    background = np.random.RandomState(0).randint(0, 256, (180, 320, 3), np.uint8)
    tracker.prompt(0, {k: masklet.box(20 + 40 * k, 40, 90 + 40 * k, 120) for k in range(objects)}, background)
    start = time.perf_counter()
    for frame in range(1, length):
        tracker.step(frame, np.roll(background, frame, axis=1))
        if frame % PROGRESS_FRAMES == 0:
            seconds = time.perf_counter() - start
            print(
                f"{frame} of {length} frames, {seconds:.0f} s, peak {measure_peak_mb():.1f} MB",
                file=sys.stderr,
                flush=True,
            )
    row = {
        "frames": length,
        "objects": objects,
        "size": size,
        "device": "cpu",
        "peak_mb": measure_peak_mb(),
        "disk_mb": tracker.disk_cache.nbytes / 1e6,
        "ms_per_frame": 1e3 * (time.perf_counter() - start) / length,
    }
    print(json.dumps(row))

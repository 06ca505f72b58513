"""Time of a video frame by stage for 1, 4 and 16 objects in steady state, with 7 memories and 16 pointers each.

`÷ one object` is the time of the whole frame divided by that for one object. `reading` is the time to decode a
1280 × 720 H.264 frame, which happens in parallel with tracking: it adds no time while it is shorter than the frame.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import measure_seconds
from benchmarks.plots import draw_bars
from masklet.config import CONFIGS
from masklet.formats.video_encoder import H264, Timing, VideoEncoder

OBJECTS = (1, 4, 16)
WARMUP_FRAMES = 16  # until all memories and pointers exist
READ_FRAMES = 100  # of the decoded clip


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every requested model and input size for each number of objects, and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench video", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--models", default="sam2.1-tiny", help="configurations, such as sam2.1-tiny,edgetam")
    parser.add_argument("--sizes", default="", help="sides of the input, such as 512,1024; by default each model's own")
    parser.add_argument("--objects", default=",".join(map(str, OBJECTS)), help="numbers of objects")
    parser.add_argument("--frames", type=int, default=5)
    options = parser.parse_args(arguments)
    rows, reading = [], _measure_reading_ms()
    for name in options.models.split(","):
        for size in options.sizes.split(",") if options.sizes else [CONFIGS[name].input_size]:
            measurements = [_measure(name, int(size), options, int(count)) for count in options.objects.split(",")]
            first = measurements[0]["frame_ms"]
            rows += [{**row, "ratio": row["frame_ms"] / first, "read_ms": reading} for row in measurements]
    return rows


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    parts = [(f"{part}_ms", f"{part}, ms", "{:.0f}") for part in ("encode", "attend", "decode", "memorize", "fetch")]
    ends = [("frame_ms", "whole frame, ms", "{:.0f}"), ("ratio", "÷ one object", "{:.1f}")]
    ends += [("read_ms", "reading, ms", "{:.1f}")]
    return [("model", "model", "{}"), ("size", "size", "{}"), ("objects", "objects", "{}"), *parts, *ends]


def plot(rows: list[dict[str, Any]]) -> str:
    """Draw the time of a frame with one object by model as SVG."""
    seconds = {f"{row['model']}, {row['size']} px": row["frame_ms"] / 1e3 for row in rows if row["objects"] == 1}
    return draw_bars(seconds, "seconds per frame with one object", limit=max(seconds.values()))


def _measure(name: str, size: int, options: argparse.Namespace, objects: int) -> dict[str, Any]:
    import masklet
    from benchmarks.checkpoints import make_checkpoint
    from masklet.tracking.disk_cache import DiskCache
    from masklet.tracking.tracker import Tracker

    backend = _TimedBackend(
        masklet.load(make_checkpoint(name), device=options.device, dtype=options.dtype, input_size=size).backend
    )
    backend.device = options.device
    image = np.random.RandomState(0).randint(0, 256, (360, 640, 3), np.uint8)
    tracker = Tracker(backend, disk_cache=DiskCache(0))
    side = 600 // objects
    boxes = {key: masklet.box(side * key, 50, side * (key + 1), 300) for key in range(objects)}
    tracker.prompt(0, boxes, image)
    backend.fill(tracker)  # copies of one memory: the cost does not depend on its content
    frames = []
    for frame in range(WARMUP_FRAMES, WARMUP_FRAMES + options.frames + 1):
        backend.seconds_by_method.clear()
        whole = measure_seconds(lambda frame=frame: tracker.step(frame, image), options.device)  # type: ignore[misc]
        frames.append({**backend.seconds_by_method, "frame": whole})
    parts = {f"{part}_ms": 1e3 * statistics.median(f[part] for f in frames[1:]) for part in frames[0]}
    row = {"model": name, "size": size, "objects": objects, "device": options.device, "dtype": options.dtype, **parts}
    print({key: round(value) if isinstance(value, float) else value for key, value in row.items()}, file=sys.stderr)
    return row


def _measure_reading_ms() -> float:
    """Measure the time to read a frame of a generated clip, without opening the file."""
    import masklet

    rng = np.random.RandomState(0)
    background = cv2.resize(rng.randint(0, 256, (45, 80, 3), np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with (
            path.open("wb") as file,
            VideoEncoder(file, H264, (720, 1280), Timing(Fraction(1, 25), Fraction(25))) as encoder,
        ):
            for index in range(READ_FRAMES):
                encoder.add(np.roll(background, 4 * index, axis=1), index)
        video = masklet.open_video(path)
        return 1e3 * measure_seconds(lambda: [None for _ in video], "cpu") / READ_FRAMES


class _TimedBackend:
    """Backend that records the time of each method."""

    METHODS = ("encode", "attend", "decode", "memorize", "fetch")

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.seconds_by_method: dict[str, float] = {}
        self.device = "cpu"

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)
        if name not in self.METHODS:
            return method

        def call_timed(*arguments: Any, **keywords: Any) -> Any:
            results: list[Any] = []
            duration = measure_seconds(lambda: results.append(method(*arguments, **keywords)), self.device)
            self.seconds_by_method[name] = self.seconds_by_method.get(name, 0.0) + duration
            return results[0]

        return call_timed

    def fill(self, tracker: Any) -> None:
        """Fill the memory bank of every object as if `WARMUP_FRAMES` frames had been tracked."""
        for track in tracker.tracks.values():
            for frame in range(1, WARMUP_FRAMES):
                track.add_tracked(frame, track.results[0], (track.prompted[0],), ())

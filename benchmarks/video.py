"""What a frame of video costs, part by part, for 1, 4 and 16 objects in steady state: 7 memories, 16 pointers each.

One column compares the whole frame with the one of a single object. The last one is what a 1280 × 720 H.264 frame takes
to be read, beside the tracker and ahead of it: while it is less than the frame, reading holds nothing up.
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

from benchmarks.machine import seconds
from masklet.formats.video_encoder import H264, Timing, VideoEncoder

OBJECTS = (1, 4, 16)
WARM = 16  # frames until every memory and pointer is there
READ = 100  # frames of the clip that is read


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every model, size and number of objects asked for; a row each."""
    parser = argparse.ArgumentParser(prog="scripts/bench video", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--models", default="tiny")
    parser.add_argument("--sizes", default="512")
    parser.add_argument("--frames", type=int, default=5)
    asked = parser.parse_args(arguments)
    rows, reading = [], _reading_ms()
    for name in asked.models.split(","):
        for size in asked.sizes.split(","):
            measured = [_measure(name, int(size), asked, objects) for objects in OBJECTS]
            first = measured[0]["frame_ms"]
            rows += [{**row, "ratio": row["frame_ms"] / first, "read_ms": reading} for row in measured]
    return rows


def columns() -> list[tuple[str, str, str]]:
    """(key, heading, format) of the table."""
    parts = [(f"{part}_ms", f"{part}, ms", "{:.0f}") for part in ("encode", "attend", "decode", "memorize", "fetch")]
    ends = [("frame_ms", "whole frame, ms", "{:.0f}"), ("ratio", "÷ one object", "{:.1f}")]
    ends += [("read_ms", "reading, ms", "{:.1f}")]
    return [("model", "model", "{}"), ("size", "size", "{}"), ("objects", "objects", "{}"), *parts, *ends]


def _measure(name: str, size: int, asked: argparse.Namespace, objects: int) -> dict[str, Any]:
    import masklet
    from benchmarks.checkpoints import checkpoint
    from masklet.tracking.disk_cache import DiskCache
    from masklet.tracking.tracker import Tracker

    backend = _Timed(
        masklet.load(checkpoint(f"sam2.1-{name}"), device=asked.device, dtype=asked.dtype, input_size=size).backend
    )
    backend.device = asked.device
    image = np.random.RandomState(0).randint(0, 256, (360, 640, 3), np.uint8)
    tracker = Tracker(backend, disk_cache=DiskCache(0))
    side = 600 // objects
    boxes = {key: masklet.box(side * key, 50, side * (key + 1), 300) for key in range(objects)}
    tracker.prompt(0, boxes, image)
    backend.fill(tracker)  # the same memory many times: what it costs does not depend on what it says
    frames = []
    for frame in range(WARM, WARM + asked.frames + 1):
        backend.spent.clear()
        whole = seconds(lambda frame=frame: tracker.step(frame, image), asked.device)  # type: ignore[misc]
        frames.append({**backend.spent, "frame": whole})
    parts = {f"{part}_ms": 1e3 * statistics.median(f[part] for f in frames[1:]) for part in frames[0]}
    row = {"model": name, "size": size, "objects": objects, "device": asked.device, "dtype": asked.dtype, **parts}
    print({key: round(value) if isinstance(value, float) else value for key, value in row.items()}, file=sys.stderr)
    return row


def _reading_ms() -> float:
    """What a frame of a generated clip takes, once its file is open."""
    import masklet

    rng = np.random.RandomState(0)
    ground = cv2.resize(rng.randint(0, 256, (45, 80, 3), np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with (
            path.open("wb") as file,
            VideoEncoder(file, H264, (720, 1280), Timing(Fraction(1, 25), Fraction(25))) as to,
        ):
            for place in range(READ):
                to.add(np.roll(ground, 4 * place, axis=1), place)
        video = masklet.open_video(path)
        return 1e3 * seconds(lambda: [None for _ in video], "cpu") / READ


class _Timed:
    """A backend that notes how long each verb took."""

    VERBS = ("encode", "attend", "decode", "memorize", "fetch")

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.spent: dict[str, float] = {}
        self.device = "cpu"

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._backend, name)
        if name not in self.VERBS:
            return verb

        def timed(*arguments: Any, **more: Any) -> Any:
            answer: list[Any] = []
            took = seconds(lambda: answer.append(verb(*arguments, **more)), self.device)
            self.spent[name] = self.spent.get(name, 0.0) + took
            return answer[0]

        return timed

    def fill(self, tracker: Any) -> None:
        """Give every object the memories of a long walk, without walking."""
        for track in tracker.tracks.values():
            memory = track.bank.prompted[0]
            for frame in range(1, WARM):
                track.bank.remember(frame, memory)

"""How fast F, and J with it, is computed: frames a second on one core, of one object per frame.

The masks are drawn: an object of middling size that is found a few pixels beside its place, the same with a ragged
outline, one that is looked for in the wrong place, and the worst case, an outline that runs through the whole picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.evaluate.j_and_f import compute_contour_accuracy, compute_region_similarity

Mask = NDArray[np.bool_]
SIZES = {"480p": (480, 854), "1080p": (1080, 1920), "2160p": (2160, 3840)}
BEST_OF = 5  # rounds of half a second


def columns() -> list[tuple[str, str, str]]:
    """Key, heading and form of each column."""
    return [
        ("size", "frames", "{}"),
        ("case", "masks", "{}"),
        ("f", "F per second", "{:.0f}"),
        ("both", "J and F per second", "{:.0f}"),
    ]


def main(words: list[str]) -> list[dict[str, Any]]:
    """Measure every case at every size."""
    parser = argparse.ArgumentParser("j_and_f")
    parser.add_argument("--device", choices=["cpu"], default="cpu")
    parser.parse_args(words)
    cv2.setNumThreads(1)
    return [
        {"device": "cpu", "size": name, "case": case, **_measured(truth, answer)}
        for name, size in SIZES.items()
        for case, (truth, answer) in _cases(size).items()
    ]


def _cases(size: tuple[int, int]) -> dict[str, tuple[Mask, Mask]]:
    height, width = size
    wobble = np.random.default_rng(0).random(size) < 0.01
    thing = _ellipse(size, width // 2, height // 2, height // 4)
    whole = _ellipse(size, width // 2, height // 2, height // 2 - 4, width // 2 - 4)
    return {
        "beside its place": (thing, np.roll(thing, (height // 100, width // 100), (0, 1))),
        "ragged": (thing, thing ^ (wobble & _ellipse(size, width // 2, height // 2, height // 3))),
        "in the wrong place": (thing, np.roll(thing, width // 4, 1)),
        "the whole picture": (whole, np.roll(whole, (height // 100, width // 100), (0, 1))),
        "the whole picture, ragged": (whole, whole ^ wobble),
    }


def _ellipse(size: tuple[int, int], x: int, y: int, down: int, across: int | None = None) -> Mask:
    canvas = np.zeros(size, np.uint8)
    cv2.ellipse(canvas, (x, y), (across or down, down), 0, 0, 360, 1, cv2.FILLED)
    return canvas.view(bool)


def _measured(truth: Mask, answer: Mask) -> dict[str, float]:
    def both() -> None:
        compute_region_similarity(truth, answer)
        compute_contour_accuracy(truth, answer)

    return {"f": _rate(lambda: compute_contour_accuracy(truth, answer)), "both": _rate(both)}


def _rate(call: Callable[[], object]) -> float:
    """Calls per second of processor time, in the best of some rounds: other programs only make it slower."""
    call()
    best = 0.0
    for _ in range(BEST_OF):
        count, start, end = 0, time.process_time(), time.perf_counter() + 0.5
        while time.perf_counter() < end:
            call()
            count += 1
        best = max(best, count / (time.process_time() - start))
    return best


if __name__ == "__main__":
    for row in main([]):
        print(f"{row['size']:6} {row['case']:28} {row['f']:7.0f} F/s {row['both']:7.0f} J and F/s")

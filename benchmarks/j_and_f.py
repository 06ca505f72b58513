"""Speed of computing F, and J and F: frames per second on one core, with one object per frame.

The masks are synthetic: a medium-sized object shifted by a few pixels, the same with a ragged contour, an object
predicted in the wrong place, and the worst case, a contour through the whole image.
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
NUM_ROUNDS = 5  # of half a second


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("size", "frames", "{}"),
        ("case", "masks", "{}"),
        ("f", "F per second", "{:.0f}"),
        ("both", "J and F per second", "{:.0f}"),
    ]


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every case at every size and return one row for each."""
    parser = argparse.ArgumentParser("j_and_f")
    parser.add_argument("--device", choices=["cpu"], default="cpu")
    parser.parse_args(arguments)
    cv2.setNumThreads(1)
    return [
        {"device": "cpu", "size": name, "case": case, **_measure(ground_truth, prediction)}
        for name, size in SIZES.items()
        for case, (ground_truth, prediction) in _make_cases(size).items()
    ]


def _make_cases(size: tuple[int, int]) -> dict[str, tuple[Mask, Mask]]:
    height, width = size
    noise = np.random.default_rng(0).random(size) < 0.01
    medium = _draw_ellipse(size, width // 2, height // 2, height // 4)
    whole = _draw_ellipse(size, width // 2, height // 2, height // 2 - 4, width // 2 - 4)
    return {
        "shifted": (medium, np.roll(medium, (height // 100, width // 100), (0, 1))),
        "ragged": (medium, medium ^ (noise & _draw_ellipse(size, width // 2, height // 2, height // 3))),
        "wrong place": (medium, np.roll(medium, width // 4, 1)),
        "whole image": (whole, np.roll(whole, (height // 100, width // 100), (0, 1))),
        "whole image, ragged": (whole, whole ^ noise),
    }


def _draw_ellipse(size: tuple[int, int], x: int, y: int, down: int, across: int | None = None) -> Mask:
    canvas = np.zeros(size, np.uint8)
    cv2.ellipse(canvas, (x, y), (across or down, down), 0, 0, 360, 1, cv2.FILLED)
    return canvas.view(bool)


def _measure(ground_truth: Mask, prediction: Mask) -> dict[str, float]:
    def both() -> None:
        compute_region_similarity(ground_truth, prediction)
        compute_contour_accuracy(ground_truth, prediction)

    return {"f": _measure_rate(lambda: compute_contour_accuracy(ground_truth, prediction)), "both": _measure_rate(both)}


def _measure_rate(call: Callable[[], object]) -> float:
    """Measure calls per second of processor time in the best round, since other programs only slow it down."""
    call()
    best = 0.0
    for _ in range(NUM_ROUNDS):
        count, start, end = 0, time.process_time(), time.perf_counter() + 0.5
        while time.perf_counter() < end:
            call()
            count += 1
        best = max(best, count / (time.process_time() - start))
    return best


if __name__ == "__main__":
    for row in main([]):
        print(f"{row['size']:6} {row['case']:28} {row['f']:7.0f} F/s {row['both']:7.0f} J and F/s")

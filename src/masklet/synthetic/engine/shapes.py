"""Procedural shapes: blobs, polygons, stars, rings, thin curves, lattices with holes, letters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Alpha = NDArray[np.uint8]


def draw_random_shape(rng: Generator, side: int) -> Alpha:
    """Draw a random shape that fills most of its square, as antialiased alpha (side, side) uint8 with an empty edge."""
    weights = np.array([0.28, 0.2, 0.16, 0.16, 0.1, 0.1])
    draw = _SHAPES[int(rng.choice(len(_SHAPES), p=weights))]
    alpha = np.zeros((side, side), np.uint8)
    draw(rng, alpha)
    alpha[[0, -1]], alpha[:, [0, -1]] = 0, 0  # OpenCV 4 draws wide curves a few pixels farther than OpenCV 5
    return alpha


def sample_closed_curve(rng: Generator, roughness: float, points: int = 72) -> NDArray[np.float32]:
    """Sample a wavy closed curve around the origin: points (points, 2) in x and y, within [-1, 1]."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    harmonics = np.arange(2, 10)
    amplitude = rng.normal(0, roughness, 8) / harmonics**0.9
    phase = rng.uniform(0, 2 * np.pi, 8)
    radius = 1 + (amplitude * np.cos(angle[:, None] * harmonics + phase)).sum(1)
    curve = np.stack([radius * np.cos(angle), radius * np.sin(angle) * rng.uniform(0.45, 1)], 1)
    return np.asarray(curve / np.abs(curve).max(), np.float32)


def interpolate_catmull_rom(ticks: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate a Catmull-Rom curve through `knots` (K, D) at positions `ticks` (N,) from 0 to K - 1: (N, D)."""
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    left = np.clip(ticks.astype(int), 0, len(knots) - 2)
    t = (ticks - left)[:, None]
    p0, p1, p2, p3 = (padded[left + offset] for offset in range(4))
    return np.asarray(
        0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    )


def _fill(alpha: Alpha, *curves: NDArray[np.float32]) -> None:
    """Fill curves with coordinates in [-1, 1] by the even-odd rule, so that overlaps are holes."""
    center, radius = alpha.shape[0] / 2, alpha.shape[0] * 0.46
    outlines = [np.round((curve * radius + center) * 16).astype(np.int32) for curve in curves]
    cv2.fillPoly(alpha, outlines, 255, cv2.LINE_AA, shift=4)


def _draw_blob(rng: Generator, alpha: Alpha) -> None:
    _fill(alpha, sample_closed_curve(rng, rng.uniform(0.05, 0.6)))


def _draw_polygon(rng: Generator, alpha: Alpha) -> None:
    count = int(rng.integers(3, 9))
    angle = np.sort(rng.uniform(0, 2 * np.pi, count)) if rng.random() < 0.5 else np.arange(count) * 2 * np.pi / count
    radius = (
        rng.uniform(0.45, 1, count) if rng.random() < 0.5 else np.where(np.arange(count) % 2, rng.uniform(0.35, 1), 1)
    )
    corners = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] * rng.uniform([0.5, 0.5], [1, 1])
    _fill(alpha, corners.astype(np.float32))


def _draw_ring(rng: Generator, alpha: Alpha) -> None:
    outer = sample_closed_curve(rng, rng.uniform(0, 0.3))
    inner = (outer if rng.random() < 0.5 else sample_closed_curve(rng, 0.2) * 0.6) * rng.uniform(0.35, 0.85)
    _fill(alpha, outer, inner.astype(np.float32))


def _draw_curves(rng: Generator, alpha: Alpha) -> None:
    """Draw one to three thin open curves, like cables or branches."""
    side = alpha.shape[0]
    thickness = max(1, round(side * np.exp(rng.uniform(np.log(0.012), np.log(0.09)))))
    for _ in range(int(rng.integers(1, 4))):
        knots = rng.uniform(0.08, 0.92, (int(rng.integers(3, 6)), 2)) * side
        ticks = np.linspace(0, len(knots) - 1, 60)
        path = interpolate_catmull_rom(ticks, knots)
        cv2.polylines(alpha, [np.round(path * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4)


def _draw_lattice(rng: Generator, alpha: Alpha) -> None:
    """Draw a panel with a grid of holes, like fences or windows."""
    _fill(alpha, sample_closed_curve(rng, rng.uniform(0, 0.15)))
    side, count = alpha.shape[0], int(rng.integers(2, 5))
    radius = int(side * rng.uniform(0.1, 0.36) / count)
    for row in range(count):
        for column in range(count):
            center = (int((column + 0.5) * side / count), int((row + 0.5) * side / count))
            cv2.circle(alpha, center, max(1, radius), 0, -1, cv2.LINE_AA)


def _draw_letters(rng: Generator, alpha: Alpha) -> None:
    side = alpha.shape[0]
    text = "".join(chr(int(code)) for code in rng.integers(ord("A"), ord("Z") + 1, int(rng.integers(1, 4))))
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX]))
    thickness = max(2, int(side * rng.uniform(0.03, 0.09)))
    (width, height), _ = cv2.getTextSize(text, font, 1, 0)
    scale = (side - 2 * thickness) / max(width, height)
    corner = (int((side - width * scale) / 2), int((side + height * scale) / 2))
    cv2.putText(alpha, text, corner, font, scale, 255, thickness, cv2.LINE_AA)


_SHAPES = (_draw_blob, _draw_polygon, _draw_ring, _draw_curves, _draw_lattice, _draw_letters)

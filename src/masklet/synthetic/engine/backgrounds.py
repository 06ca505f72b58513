"""Backgrounds: photographs, textures, dead leaves, split areas, rooms, gradients.

Composed backgrounds have a label map of their areas, which may become region targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.asset_bank import AssetBank
from masklet.synthetic.engine.shapes import sample_closed_curve
from masklet.synthetic.image_filters import blur, enlarge, resize, resize_fast, warp

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A background.

    Attributes:
        image: RGB image (S, S, 3) uint8.
        regions: Labels of its areas (S, S) int32 from 1, or None if they are unknown.
        has_no_objects: It shows no object. A photograph may show some.
    """

    image: Pixels
    regions: Labels | None = None
    has_no_objects: bool = True


def make_random_canvas(bank: AssetBank, rng: Generator, size: int) -> Canvas:
    """Make a background: 45 % photographs, 15 % textures, 13 % dead leaves, 10 % split, 8 % rooms, 9 % gradients."""
    choice = rng.random()
    if choice < 0.45:
        return Canvas(crop_randomly(rng, _pick(rng, bank.photographs), size), has_no_objects=False)
    if choice < 0.60:
        return Canvas(crop_randomly(rng, _pick(rng, bank.textures), size))
    if choice < 0.73:
        return _make_dead_leaves(bank, rng, size)
    if choice < 0.83:
        return _make_split(bank, rng, size)
    if choice < 0.91:
        return _make_room(bank, rng, size)
    return Canvas(_make_gradient(rng, size))


def sample_fill(bank: AssetBank, rng: Generator, size: int) -> Pixels:
    """Sample a filling (size, size, 3) for an outline: a crop of a photograph or texture, or a gradient."""
    choice = rng.random()
    if choice < 0.35:
        return crop_randomly(rng, _pick(rng, bank.photographs), size)
    if choice < 0.8:
        return crop_randomly(rng, _pick(rng, bank.textures), size)
    return _make_gradient(rng, size)


def crop_randomly(rng: Generator, image: Pixels, size: int) -> Pixels:
    """Crop a square at a random place and scale, resize it to (size, size, 3) and flip it at random."""
    height, width = image.shape[:2]
    side = max(16, int(min(height, width) * rng.uniform(0.35, 1) ** 0.7))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    piece = resize_fast(image[top : top + side, left : left + side, :3], (size, size))
    return np.ascontiguousarray(piece[:, ::-1]) if rng.random() < 0.5 else piece


def _pick(rng: Generator, images: Sequence[Pixels]) -> Pixels:
    return images[int(rng.integers(len(images)))]


def _make_gradient(rng: Generator, size: int) -> Pixels:
    """Make a color gradient with low-frequency noise, like the backdrop of a product photograph."""
    corners = rng.uniform(0, 255, 3) + rng.normal(0, rng.uniform(0, 45), (2, 2, 3))
    gradient = resize(corners.astype(np.float32), (64, 64))
    for cells in (4, 16, 64):
        gradient += enlarge(rng.normal(0, rng.uniform(0, 14), (cells, cells, 3)).astype(np.float32), (64, 64))
    gradient = resize(gradient, (size, size))
    return np.clip(gradient, 0, 255).astype(np.uint8)


def _make_dead_leaves(bank: AssetBank, rng: Generator, size: int) -> Canvas:
    """Make a dead-leaves image: overlapping shapes of power-law sizes, each with its own filling and color."""
    labels = np.ones((size, size), np.int32)
    count = int(np.exp(rng.uniform(np.log(12), np.log(220))))
    radii = size * 0.4 * (1 - rng.random(count) * (1 - 0.06)) ** rng.uniform(1, 2.5)
    outline = [sample_closed_curve(rng, roughness, 24) for roughness in (0.0, 0.15, 0.4, 0.8)]
    centers, turns = rng.uniform(0, size, (count, 2)), rng.uniform(0, 2 * np.pi, count)
    shapes = rng.integers(0, len(outline), count)
    for number in range(count):
        cosine, sine = np.cos(turns[number]) * radii[number], np.sin(turns[number]) * radii[number]
        turn = np.array([[cosine, sine], [-sine, cosine]])
        curve = outline[shapes[number]] @ turn + centers[number]
        cv2.fillPoly(labels, [np.round(curve).astype(np.int32)], number + 2)
    return Canvas(_paint_areas(bank, rng, labels), labels)


def _paint_areas(bank: AssetBank, rng: Generator, labels: Labels) -> Pixels:
    """Fill labeled areas with four fillings, and give each area its own gain and color."""
    size, count = labels.shape[0], int(labels.max()) + 1
    materials = np.stack([sample_fill(bank, rng, size) for _ in range(4)])
    material = rng.integers(0, 4, count)[labels]
    image = np.take_along_axis(materials, material[None, ..., None], axis=0)[0].astype(np.float32)
    contrast = rng.uniform(0.1, 1, (count, 1)).astype(np.float32)
    color = (rng.uniform(10, 245, (count, 3)) * (1 - contrast)).astype(np.float32)
    return np.asarray(np.clip(image * contrast[labels] + color[labels], 0, 255), np.uint8)


def _make_split(bank: AssetBank, rng: Generator, size: int) -> Canvas:
    """Make two or three areas that meet along wavy lines, like sky and land or wall and table."""
    labels = np.ones((size, size), np.int32)
    across = np.linspace(0, 1, size)
    for number, level in enumerate(np.sort(rng.uniform(0.15, 0.85, int(rng.integers(1, 3)))), start=2):
        amplitude = rng.normal(0, rng.choice([0.0, 0.03, 0.12]), 6) / np.arange(1, 7)
        wave = (amplitude * np.sin(np.arange(1, 7) * np.pi * across[:, None] + rng.uniform(0, 6.28, 6))).sum(1)
        border = (level + wave + rng.normal(0, 0.1) * across) * size
        labels[np.arange(size)[:, None] > border] = number
    labels = np.ascontiguousarray(labels.T if rng.random() < 0.25 else labels)
    fills = np.stack([sample_fill(bank, rng, size) for _ in range(int(labels.max()))])
    image = np.take_along_axis(fills, (labels - 1)[None, ..., None], axis=0)[0]
    return Canvas(blur(image, 0.8) if rng.random() < 0.5 else image, labels)


def _make_room(bank: AssetBank, rng: Generator, size: int) -> Canvas:
    """Make a corner of a room: floor and walls with textures in perspective, each with its own light."""
    corner = rng.uniform([0.25, 0.3], [0.75, 0.7]) * size
    left = np.array([-0.1 * size, corner[1] + rng.uniform(0, 0.35) * size])
    right = np.array([1.1 * size, corner[1] + rng.uniform(0, 0.35) * size])
    up, low = np.array([corner[0], -0.2 * size]), 2.2 * size
    planes = (
        [up * [0, 1] + [-0.1 * size, 0], up, corner, left],
        [up, [1.1 * size, -0.2 * size], right, corner],
        [left, corner, right, [corner[0], low]],
    )
    image, labels = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.int32)
    for number, plane in enumerate(planes, start=1):
        quad = np.array(plane, np.float32)
        area = np.zeros((size, size), np.uint8)
        cv2.fillPoly(area, [np.round(quad * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
        unit = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
        view = np.asarray(cv2.getPerspectiveTransform(unit, quad), np.float64)
        texture = crop_randomly(rng, _pick(rng, bank.textures), size)
        projected = warp(texture, view, (size, size), cv2.BORDER_REFLECT)
        lit = np.clip(projected * np.float32(rng.uniform(0.4, 1.2)), 0, 255).astype(np.uint8)
        inside = area > 0
        image[inside], labels[inside] = lit[inside], number
    labels[labels == 0] = 3
    return Canvas(image, labels)

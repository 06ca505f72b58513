"""What objects are laid on: photographs, textures, dead leaves, split grounds, rooms, gradients.

A canvas that is made of areas knows them: its regions are targets too, as the sky of a landscape would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.asset_bank import Bank
from masklet.synthetic.engine.shapes import closed_curve
from masklet.synthetic.image_filters import blurred, enlarged, quickly_resized, resized, warped

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A background (S, S, 3) and its areas (S, S) labelled 1..n, or None where it has no known areas.

    `bare`: there is no object in it; photographs may show some.
    """

    image: Pixels
    regions: Labels | None = None
    bare: bool = True


def random_canvas(bank: Bank, rng: Generator, size: int) -> Canvas:
    """One background: 45 % photographs, 15 % textures, 13 % dead leaves, 10 % split, 8 % rooms, 9 % plain."""
    choice = rng.random()
    if choice < 0.45:
        return Canvas(random_crop(rng, _pick(rng, bank.photographs), size), bare=False)
    if choice < 0.60:
        return Canvas(random_crop(rng, _pick(rng, bank.textures), size))
    if choice < 0.73:
        return _dead_leaves(bank, rng, size)
    if choice < 0.83:
        return _split(bank, rng, size)
    if choice < 0.91:
        return _room(bank, rng, size)
    return Canvas(_plain(rng, size))


def random_fill(bank: Bank, rng: Generator, size: int) -> Pixels:
    """Material (size, size, 3) for a procedural object: a photograph, a texture, a gradient."""
    choice = rng.random()
    if choice < 0.35:
        return random_crop(rng, _pick(rng, bank.photographs), size)
    if choice < 0.8:
        return random_crop(rng, _pick(rng, bank.textures), size)
    return _plain(rng, size)


def random_crop(rng: Generator, picture: Pixels, size: int) -> Pixels:
    """A square piece of `picture` at a random place and scale, flipped or not, resized to (size, size)."""
    height, width = picture.shape[:2]
    side = max(16, int(min(height, width) * rng.uniform(0.35, 1) ** 0.7))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    piece = quickly_resized(picture[top : top + side, left : left + side, :3], (size, size))
    return np.ascontiguousarray(piece[:, ::-1]) if rng.random() < 0.5 else piece


def _pick(rng: Generator, pictures: Sequence[Pixels]) -> Pixels:
    return pictures[int(rng.integers(len(pictures)))]


def _plain(rng: Generator, size: int) -> Pixels:
    """A flat colour with a gradient and low-frequency unevenness: the backdrop of a product shot."""
    corners = rng.uniform(0, 255, 3) + rng.normal(0, rng.uniform(0, 45), (2, 2, 3))
    ground = resized(corners.astype(np.float32), (64, 64))
    for cells in (4, 16, 64):
        ground += enlarged(rng.normal(0, rng.uniform(0, 14), (cells, cells, 3)).astype(np.float32), (64, 64))
    ground = resized(ground, (size, size))
    return np.clip(ground, 0, 255).astype(np.uint8)


def _dead_leaves(bank: Bank, rng: Generator, size: int) -> Canvas:
    """Overlapping shapes of power-law sizes, each with its own material and colour."""
    labels = np.ones((size, size), np.int32)
    count = int(np.exp(rng.uniform(np.log(12), np.log(220))))
    radii = size * 0.4 * (1 - rng.random(count) * (1 - 0.06)) ** rng.uniform(1, 2.5)
    outline = [closed_curve(rng, roughness, 24) for roughness in (0.0, 0.15, 0.4, 0.8)]
    centres, turns = rng.uniform(0, size, (count, 2)), rng.uniform(0, 2 * np.pi, count)
    shapes = rng.integers(0, len(outline), count)
    for number in range(count):
        cosine, sine = np.cos(turns[number]) * radii[number], np.sin(turns[number]) * radii[number]
        turn = np.array([[cosine, sine], [-sine, cosine]])
        curve = outline[shapes[number]] @ turn + centres[number]
        cv2.fillPoly(labels, [np.round(curve).astype(np.int32)], number + 2)
    return Canvas(_painted(bank, rng, labels), labels)


def _painted(bank: Bank, rng: Generator, labels: Labels) -> Pixels:
    """Fill labelled areas with four materials, each area with a gain and a colour of its own."""
    size, count = labels.shape[0], int(labels.max()) + 1
    materials = np.stack([random_fill(bank, rng, size) for _ in range(4)])
    material = rng.integers(0, 4, count)[labels]
    image = np.take_along_axis(materials, material[None, ..., None], axis=0)[0].astype(np.float32)
    contrast = rng.uniform(0.1, 1, (count, 1)).astype(np.float32)
    colour = (rng.uniform(10, 245, (count, 3)) * (1 - contrast)).astype(np.float32)
    return np.asarray(np.clip(image * contrast[labels] + colour[labels], 0, 255), np.uint8)


def _split(bank: Bank, rng: Generator, size: int) -> Canvas:
    """Two or three grounds that meet along wavy lines: sky and land, wall and table."""
    labels = np.ones((size, size), np.int32)
    across = np.linspace(0, 1, size)
    for number, level in enumerate(np.sort(rng.uniform(0.15, 0.85, int(rng.integers(1, 3)))), start=2):
        amplitude = rng.normal(0, rng.choice([0.0, 0.03, 0.12]), 6) / np.arange(1, 7)
        wave = (amplitude * np.sin(np.arange(1, 7) * np.pi * across[:, None] + rng.uniform(0, 6.28, 6))).sum(1)
        border = (level + wave + rng.normal(0, 0.1) * across) * size
        labels[np.arange(size)[:, None] > border] = number
    labels = np.ascontiguousarray(labels.T if rng.random() < 0.25 else labels)
    grounds = np.stack([random_fill(bank, rng, size) for _ in range(int(labels.max()))])
    image = np.take_along_axis(grounds, (labels - 1)[None, ..., None], axis=0)[0]
    return Canvas(blurred(image, 0.8) if rng.random() < 0.5 else image, labels)


def _room(bank: Bank, rng: Generator, size: int) -> Canvas:
    """A corner of a room: floor and walls textured in perspective, each with its own light."""
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
        texture = random_crop(rng, _pick(rng, bank.textures), size)
        seen = warped(texture, view, (size, size), cv2.BORDER_REFLECT)
        lit = np.clip(seen * np.float32(rng.uniform(0.4, 1.2)), 0, 255).astype(np.uint8)
        inside = area > 0
        image[inside], labels[inside] = lit[inside], number
    labels[labels == 0] = 3
    return Canvas(image, labels)

"""Lay an object into a picture so that no seam gives it away: light, colour, sharpness and edges vary at random.

A network that can tell pasted pixels by their edge learns nothing about objects (Dwibedi et al., Cut, Paste and Learn),
so each object is blended in another way, and the same traces are left in the background where there is no object.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.placement import Layer
from masklet.synthetic.image_filters import blurred, resized, warped

Floats = NDArray[np.float32]


def restyled(layer: Layer, ground: Floats, rng: Generator) -> Layer:
    """The layer in other colours: towards the ground beneath it, under a light and with a camera of its own."""
    colour = layer.colour
    if rng.random() < 0.75:
        colour = np.asarray(cv2.transform(colour, _random_tint(rng)), np.float32)
    if rng.random() < 0.5:
        colour = _harmonised(colour, layer.alpha, ground, strength=rng.uniform(0.1, 0.7))
    if rng.random() < 0.4:
        colour = colour * _random_light(rng, *layer.alpha.shape)
    if rng.random() < 0.3:
        colour = blurred(colour, rng.uniform(0.4, 1.1))
    return replace(layer, colour=np.clip(colour, 0, 255))


def with_random_edge(layer: Layer, rng: Generator) -> Layer:
    """The layer with its alpha softened, shrunk or grown; its 0.5 contour stays where the object visibly ends."""
    alpha, choice = layer.alpha, rng.random()
    if choice < 0.25:
        grow_or_shrink = cv2.erode if choice < 0.2 else cv2.dilate
        alpha = np.asarray(grow_or_shrink(alpha, np.ones((3, 3), np.uint8)), np.float32)
    if rng.random() < 0.55:
        alpha = blurred(alpha, rng.uniform(0.3, 1.3))
    return replace(layer, alpha=alpha)


def cast_shadow(ground: Floats, layer: Layer, rng: Generator) -> None:
    """Darken the ground in place under a shifted, blurred copy of the object: a cast or a contact shadow."""
    height, width = layer.alpha.shape
    small = resized(layer.alpha, (max(2, height // 4), max(2, width // 4)))
    reach = 0.12 * np.sqrt(small.size)
    shift = np.array([[1, 0, rng.normal(0, reach)], [0, 1, abs(rng.normal(0, reach))]])
    if rng.random() < 0.4:  # a shadow that lies on the floor: the object pressed flat at its foot
        press = rng.uniform(0.15, 0.5)
        shift = np.array([[1, rng.normal(0, 0.5), 0], [0, press, (1 - press) * small.shape[0] * 0.9]])
    moved = warped(small, shift, (small.shape[0], small.shape[1]))
    moved = blurred(moved, rng.uniform(0.4, 2.5))
    shade = resized(moved, (height, width))
    ground *= 1 - np.float32(rng.uniform(0.15, 0.65)) * shade[..., None]


def paste(ground: Floats, layer: Layer, rng: Generator) -> None:
    """Blend the layer into `ground` (its window of the picture) in place, plainly or in two bands."""
    alpha = layer.alpha[..., None]
    if rng.random() < 0.15 and min(layer.alpha.shape) > 12:
        _blend_two_bands(ground, layer.colour, alpha, sigma=rng.uniform(1.5, 4))
    else:
        ground += alpha * (layer.colour - ground)


def leave_traces(image: Floats, alpha: Floats, rng: Generator) -> None:
    """Change the background in place inside `alpha` (h, w) just enough to leave a seam where there is no object."""
    choice = rng.random()
    if choice < 0.4:
        changed = image * np.float32(rng.uniform(0.94, 1.06)) + rng.normal(0, 3, 3).astype(np.float32)
    elif choice < 0.7:
        changed = blurred(image, rng.uniform(0.5, 1.2))
    else:
        shift = np.array([[1, 0, rng.normal(0, 1.5)], [0, 1, rng.normal(0, 1.5)]])
        changed = warped(image, shift, (image.shape[0], image.shape[1]), cv2.BORDER_REPLICATE)
    image += alpha[..., None] * (changed - image)


def _random_tint(rng: Generator) -> Floats:
    """A 3x4 colour matrix: saturation, contrast, a colour cast, brightness; grey for one object in twelve."""
    saturation = 0.0 if rng.random() < 0.08 else rng.uniform(0.4, 1.5)
    contrast = rng.uniform(0.6, 1.35)
    grey = np.full((3, 3), 1 / 3)
    mix = (grey + saturation * (np.eye(3) - grey)) * contrast * rng.normal(1, 0.08, (3, 1))
    offset = 128 * (1 - contrast) + rng.normal(0, 14) + rng.normal(0, 6, 3)
    return np.column_stack([mix, offset]).astype(np.float32)


def _harmonised(colour: Floats, alpha: Floats, ground: Floats, strength: float) -> Floats:
    """Mean and spread of the object's colours moved part of the way to those of the ground beneath."""
    inside = (alpha > 0.5).astype(np.uint8)
    if not inside.any():
        return colour
    mean, spread = (statistic.ravel() for statistic in cv2.meanStdDev(colour, mask=inside))
    ground_mean, ground_spread = (statistic.ravel() for statistic in cv2.meanStdDev(ground, mask=inside))
    gain = 1 + strength * 0.6 * (np.clip(ground_spread / np.maximum(spread, 1), 0.5, 1.6) - 1)
    goal = mean + strength * (ground_mean - mean)
    return np.asarray(colour * gain.astype(np.float32) + (goal - mean * gain).astype(np.float32))


def _random_light(rng: Generator, height: int, width: int) -> Floats:
    """A gain (height, width, 1) that falls off in one direction."""
    slope_x, slope_y = rng.uniform(-0.45, 0.45, 2)
    across = np.linspace(-slope_x, slope_x, width, dtype=np.float32)
    down = np.linspace(-slope_y, slope_y, height, dtype=np.float32)
    return np.asarray((1 + across[None] + down[:, None])[..., None], np.float32)


def _blend_two_bands(ground: Floats, colour: Floats, alpha: Floats, sigma: float) -> None:
    """Coarse colours mix over a wide seam, fine detail over the narrow one (Burt and Adelson with two levels)."""
    coarse_ground, coarse_colour = blurred(ground, sigma), blurred(colour, sigma)
    wide = blurred(alpha, sigma)[..., None]
    # Outside the object nothing changes: the wide seam works inwards only, so that the mask stays exact.
    wide = np.minimum(wide, alpha)
    fine_ground, fine_colour = ground - coarse_ground, colour - coarse_colour
    ground[:] = (
        coarse_ground + wide * (coarse_colour - coarse_ground) + fine_ground + alpha * (fine_colour - fine_ground)
    )

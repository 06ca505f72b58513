"""Blending of objects into an image, with random light, color, sharpness and edges.

A network that recognizes pasted pixels by their edges does not learn objects (Dwibedi et al., Cut, Paste and Learn).
Therefore each object is blended in a random way, and similar seams are added to the background without an object.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.placement import Layer
from masklet.synthetic.image_filters import blur, resize, warp

Floats = NDArray[np.float32]


def restyle(layer: Layer, background: Floats, rng: Generator) -> Layer:
    """Vary the colors of a layer at random: tint, similarity to the background (h, w, 3), light and blur."""
    color = layer.color
    if rng.random() < 0.75:
        color = np.asarray(cv2.transform(color, _sample_tint(rng)), np.float32)
    if rng.random() < 0.5:
        color = _harmonize(color, layer.alpha, background, strength=rng.uniform(0.1, 0.7))
    if rng.random() < 0.4:
        color = color * _sample_light(rng, *layer.alpha.shape)
    if rng.random() < 0.3:
        color = blur(color, rng.uniform(0.4, 1.1))
    return replace(layer, color=np.clip(color, 0, 255))


def randomize_edge(layer: Layer, rng: Generator) -> Layer:
    """Blur, erode or dilate the alpha of a layer at random. The contour at 0.5 moves by at most two pixels."""
    alpha, choice = layer.alpha, rng.random()
    if choice < 0.25:
        grow_or_shrink = cv2.erode if choice < 0.2 else cv2.dilate
        alpha = np.asarray(grow_or_shrink(alpha, np.ones((3, 3), np.uint8)), np.float32)
    if rng.random() < 0.55:
        alpha = blur(alpha, rng.uniform(0.3, 1.3))
    return replace(layer, alpha=alpha)


def cast_shadow(background: Floats, layer: Layer, rng: Generator) -> None:
    """Darken the background (h, w, 3) in place with a shadow: a shifted and blurred copy of the object."""
    height, width = layer.alpha.shape
    small = resize(layer.alpha, (max(2, height // 4), max(2, width // 4)))
    spread = 0.12 * np.sqrt(small.size)
    shift = np.array([[1, 0, rng.normal(0, spread)], [0, 1, abs(rng.normal(0, spread))]])
    if rng.random() < 0.4:  # a shadow on the floor: the object flattened at its lower edge
        press = rng.uniform(0.15, 0.5)
        shift = np.array([[1, rng.normal(0, 0.5), 0], [0, press, (1 - press) * small.shape[0] * 0.9]])
    moved = warp(small, shift, (small.shape[0], small.shape[1]))
    moved = blur(moved, rng.uniform(0.4, 2.5))
    shade = resize(moved, (height, width))
    background *= 1 - np.float32(rng.uniform(0.15, 0.65)) * shade[..., None]


def paste(background: Floats, layer: Layer, rng: Generator) -> None:
    """Blend a layer into the background (h, w, 3) in place, by alpha or in two frequency bands."""
    alpha = layer.alpha[..., None]
    if rng.random() < 0.15 and min(layer.alpha.shape) > 12:
        _blend_two_bands(background, layer.color, alpha, sigma=rng.uniform(1.5, 4))
    else:
        background += alpha * (layer.color - background)


def add_false_seam(image: Floats, alpha: Floats, rng: Generator) -> None:
    """Change the background (h, w, 3) slightly in place inside `alpha` (h, w), to make a seam without an object."""
    choice = rng.random()
    if choice < 0.4:
        changed = image * np.float32(rng.uniform(0.94, 1.06)) + rng.normal(0, 3, 3).astype(np.float32)
    elif choice < 0.7:
        changed = blur(image, rng.uniform(0.5, 1.2))
    else:
        shift = np.array([[1, 0, rng.normal(0, 1.5)], [0, 1, rng.normal(0, 1.5)]])
        changed = warp(image, shift, (image.shape[0], image.shape[1]), cv2.BORDER_REPLICATE)
    image += alpha[..., None] * (changed - image)


def _sample_tint(rng: Generator) -> Floats:
    """Sample a color matrix (3, 4): saturation, contrast, color cast, brightness; grayscale with probability 0.08."""
    saturation = 0.0 if rng.random() < 0.08 else rng.uniform(0.4, 1.5)
    contrast = rng.uniform(0.6, 1.35)
    gray = np.full((3, 3), 1 / 3)
    mix = (gray + saturation * (np.eye(3) - gray)) * contrast * rng.normal(1, 0.08, (3, 1))
    offset = 128 * (1 - contrast) + rng.normal(0, 14) + rng.normal(0, 6, 3)
    return np.column_stack([mix, offset]).astype(np.float32)


def _harmonize(color: Floats, alpha: Floats, background: Floats, strength: float) -> Floats:
    """Move the mean and the standard deviation of the object's colors toward those of the background."""
    inside = (alpha > 0.5).astype(np.uint8)
    if not inside.any():
        return color
    mean, spread = (statistic.ravel() for statistic in cv2.meanStdDev(color, mask=inside))
    background_mean, background_spread = (statistic.ravel() for statistic in cv2.meanStdDev(background, mask=inside))
    gain = 1 + strength * 0.6 * (np.clip(background_spread / np.maximum(spread, 1), 0.5, 1.6) - 1)
    goal = mean + strength * (background_mean - mean)
    return np.asarray(color * gain.astype(np.float32) + (goal - mean * gain).astype(np.float32))


def _sample_light(rng: Generator, height: int, width: int) -> Floats:
    """Sample a gain (height, width, 1) with a linear gradient."""
    slope_x, slope_y = rng.uniform(-0.45, 0.45, 2)
    across = np.linspace(-slope_x, slope_x, width, dtype=np.float32)
    down = np.linspace(-slope_y, slope_y, height, dtype=np.float32)
    return np.asarray((1 + across[None] + down[:, None])[..., None], np.float32)


def _blend_two_bands(background: Floats, color: Floats, alpha: Floats, sigma: float) -> None:
    """Blend low frequencies over a wide seam and high frequencies over a narrow one (Burt and Adelson, two levels)."""
    coarse_background, coarse_color = blur(background, sigma), blur(color, sigma)
    wide = blur(alpha, sigma)[..., None]
    # The wide seam is limited to the inside of the object, so that the mask stays exact.
    wide = np.minimum(wide, alpha)
    fine_background, fine_color = background - coarse_background, color - coarse_color
    background[:] = (
        coarse_background
        + wide * (coarse_color - coarse_background)
        + fine_background
        + alpha * (fine_color - fine_background)
    )

"""Camera effects on a whole image: blur, noise, exposure, grayscale, vignette, JPEG compression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.image_filters import blur

Floats = NDArray[np.float32]

_NOISE_FIELD = np.random.default_rng(0).standard_normal((768, 768, 3)).astype(np.float32)


def apply_camera_effects(image: Floats, rng: Generator, grain_rng: Generator | None = None) -> NDArray[np.uint8]:
    """Apply the effects of a random camera.

    Args:
        image: The image (S, S, 3) float32, 0 to 255.
        rng: Random generator of the camera. The frames of a clip share its state.
        grain_rng: Random generator of the noise, which differs between frames. By default `rng`.

    Returns:
        The recorded image (S, S, 3) uint8.
    """
    image = _vary_exposure(image, rng)
    if rng.random() < 0.25:
        image = blur(image, rng.uniform(0.3, 1.2) * image.shape[0] / 256)
    if rng.random() < 0.5:
        image = image + _sample_grain(grain_rng or rng, image.shape[0], strength=rng.uniform(0.5, 9))
    if rng.random() < 0.06:
        image = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    recorded = np.clip(image, 0, 255).astype(np.uint8)
    return _compress_jpeg(recorded, int(rng.integers(35, 95))) if rng.random() < 0.4 else recorded


def _sample_grain(rng: Generator, size: int, strength: float) -> Floats:
    """Sample noise (size, size, 3) of a standard deviation from a fixed field, gray half of the time."""
    if size > _NOISE_FIELD.shape[0]:
        return np.asarray(rng.standard_normal((size, size, 3), np.float32) * np.float32(strength))
    top, left = rng.integers(0, _NOISE_FIELD.shape[0] - size + 1, 2)
    field = _NOISE_FIELD[top : top + size, left : left + size]
    return np.asarray((field[..., :1] if rng.random() < 0.5 else field) * np.float32(strength))


def _vary_exposure(image: Floats, rng: Generator) -> Floats:
    """Vary gain, color cast, gamma and vignette at random."""
    if rng.random() < 0.4:
        image = image * rng.normal(1, 0.07, 3).astype(np.float32) + np.float32(rng.normal(0, 8))
    if rng.random() < 0.3:
        gamma = np.exp(rng.normal(0, 0.3))
        image = cv2.pow(np.clip(image, 0, 255) * np.float32(1 / 255), gamma) * np.float32(255)
    if rng.random() < 0.1:
        axis = np.linspace(-1, 1, image.shape[0], dtype=np.float32) ** 2
        image = image * (1 - np.float32(rng.uniform(0.1, 0.35)) * (axis[:, None] + axis[None]))[..., None]
    return np.asarray(image, np.float32)


def _compress_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), np.uint8)

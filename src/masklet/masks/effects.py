"""Effects for editors: blurred, darkened or replaced backgrounds, and blurred objects.

An effect is a function of an image (H, W, 3) uint8 RGB and an alpha channel (H, W) uint8, 255 on the objects and 0 on
the background. It returns a new image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from masklet.errors import SettingsError
from masklet.masks.overlay import make_binary_alpha, make_soft_alpha

Image8 = NDArray[np.uint8]
Background = tuple[int, int, int] | NDArray[np.uint8]
"""What the background is replaced by: an RGB color, or an image (h, w, 3)."""

WHITE = (255, 255, 255)
_SOFTNESS = 3  # pixels: side of the blur kernel that smooths the edge of a mask
_RIM = 0.005  # of the image's shorter side: width of the edge in which the logits decide about alpha
_BLUR = 0.02  # of the image's shorter side: standard deviation of the blur
_OBJECT_BLUR = 0.12  # of the square root of the objects' area: smallest standard deviation on them
_BRIGHTNESS = 0.3  # of the background beside a spotlight
_SMALL_SIGMA = 4.0  # pixels: images are reduced before a wider blur, which saves most of its time


def make_alpha(masks: Iterable[NDArray[np.bool_]], size: tuple[int, int]) -> Image8:
    """Return the alpha channel of `size` (H, W) of the union of masks (H, W), with a smoothed edge."""
    return smooth_edge(make_binary_alpha(masks, size))


def make_alpha_of_logits(logits: Iterable[NDArray[Any]], size: tuple[int, int]) -> Image8:
    """Return the alpha channel of `size` (H, W) of logits (H, W): soft where their sigmoid is, near the edge only.

    Away from the edge, objects are opaque even where the network is uncertain.
    """
    soft = make_soft_alpha(logits, size)
    binary = np.where(soft > 127, 255, 0).astype(np.uint8)
    rim = _square(max(2, round(_RIM * min(size))))
    limited = np.clip(soft, cv2.erode(binary, rim), cv2.dilate(binary, rim))
    return smooth_edge(limited)


def smooth_edge(alpha: Image8) -> Image8:
    """Return an alpha channel (H, W) whose steps are blurred by a pixel on each side."""
    return np.asarray(cv2.GaussianBlur(alpha, (_SOFTNESS, _SOFTNESS), 0, borderType=cv2.BORDER_REPLICATE))


def blur_background(image: Image8, alpha: Image8, strength: float = _BLUR) -> Image8:
    """Blur the background. Colors of the objects do not enter it.

    Args:
        image: RGB image (H, W, 3).
        alpha: Alpha channel (H, W), 255 on the objects.
        strength: Standard deviation of the blur as a fraction of the image's shorter side.
    """
    share = 1 - alpha.astype(np.float32) / 255
    sigma = strength * min(alpha.shape)
    weight = np.maximum(_blur(share, sigma), 1e-6)
    blurred = _blur(image * share[..., None], sigma) / weight[..., None]
    return _mix(image, _to_image(blurred), alpha)


def blur_objects(image: Image8, alpha: Image8, strength: float = _BLUR) -> Image8:
    """Blur the objects, for privacy: every pixel of a mask is replaced, and a rim around it.

    Args:
        image: RGB image (H, W, 3).
        alpha: Alpha channel (H, W), 255 on the objects.
        strength: Standard deviation of the blur as a fraction of the image's shorter side. Large objects are blurred by
            more, 12 % of the square root of their area.
    """
    sigma = max(strength * min(alpha.shape), _OBJECT_BLUR * float(np.sqrt(np.count_nonzero(alpha))))
    covered = cv2.dilate(alpha, _square(max(_SOFTNESS, round(_RIM * min(alpha.shape)))))
    return _mix(_to_image(_blur(image.astype(np.float32), sigma)), image, np.asarray(covered, np.uint8))


def spotlight(image: Image8, alpha: Image8, brightness: float = _BRIGHTNESS) -> Image8:
    """Darken the background to `brightness`, a factor from 0 (black) to 1."""
    return _mix(image, _to_image(image * np.float32(brightness)), alpha)


def replace_background(image: Image8, alpha: Image8, background: Background = WHITE) -> Image8:
    """Replace the background by a color, or by an image that is scaled and cropped to cover it."""
    return _mix(image, fit_background(background, (image.shape[0], image.shape[1])), alpha)


EFFECTS: dict[str, Callable[[Image8, Image8, Background], Image8]] = {
    "blur": lambda image, alpha, background: blur_background(image, alpha),
    "blur_objects": lambda image, alpha, background: blur_objects(image, alpha),
    "spotlight": lambda image, alpha, background: spotlight(image, alpha),
    "background": replace_background,
}
"""Effects by name, as functions of image, alpha channel and background, which all but `background` ignore."""


def find_effect(name: str) -> Callable[[Image8, Image8, Background], Image8]:
    """Return the effect with this name. Raises `SettingsError` if there is none."""
    if name not in EFFECTS:
        raise SettingsError("bad-usage", f"unknown effect {name!r}; effects are {', '.join(EFFECTS)}")
    return EFFECTS[name]


def check_background(background: str | Sequence[int] | Image8) -> Background:
    """Return a background from the name of a color, an RGB color, or an image (h, w, 3) uint8.

    Names are those of CSS, such as `white`, `#00b140` or `rgb(0, 177, 64)`.

    Raises:
        SettingsError: It is none of these.
    """
    if isinstance(background, np.ndarray):
        if background.dtype == np.uint8 and background.ndim == 3 and background.shape[2] == 3 and background.size:
            return background
        raise _background_error(f"{background.dtype} {background.shape}")
    try:
        values = ImageColor.getrgb(background)[:3] if isinstance(background, str) else tuple(background)
        red, green, blue = (int(value) for value in values)
    except (TypeError, ValueError) as cause:
        raise _background_error(repr(background)) from cause
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise _background_error(repr(background))
    return red, green, blue


def fit_background(background: Background, size: tuple[int, int]) -> Image8:
    """Return an image of `size` (H, W): the color, or the image scaled to cover it and cropped in equal parts."""
    if isinstance(background, tuple):
        return np.full((*size, 3), background, np.uint8)
    if background.shape[:2] == size:
        return background
    scale = max(wanted / actual for wanted, actual in zip(size, background.shape[:2], strict=True))
    height, width = (max(round(side * scale), least) for side, least in zip(background.shape, size, strict=False))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(background, (width, height), interpolation=method)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return np.ascontiguousarray(scaled[top : top + size[0], left : left + size[1]])


def _blur(values: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Blur (H, W) or (H, W, 3) with a standard deviation in pixels; wide blurs are computed on reduced images."""
    height, width = values.shape[:2]
    factor = max(1.0, sigma / _SMALL_SIGMA)
    small_size = max(1, round(width / factor)), max(1, round(height / factor))
    small = values if factor == 1 else cv2.resize(values, small_size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), max(sigma / factor, 0.1), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred if factor == 1 else cv2.resize(blurred, (width, height)))


def _mix(image: Image8, other: Image8, alpha: Image8) -> Image8:
    """Return `image` where alpha is 255, `other` where it is 0, and mixtures between."""
    weight = alpha.astype(np.float32) / 255
    return np.asarray(cv2.blendLinear(image, other, weight, 1 - weight))


def _to_image(values: NDArray[Any]) -> Image8:
    return np.asarray(np.rint(values).clip(0, 255).astype(np.uint8))


def _square(radius: int) -> NDArray[np.uint8]:
    """Return a structuring element that reaches `radius` pixels in each direction."""
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def _background_error(got: str) -> SettingsError:
    message = f"a background is a color such as white or #00b140, or an image (H, W, 3) uint8, got {got}"
    return SettingsError("bad-usage", message)

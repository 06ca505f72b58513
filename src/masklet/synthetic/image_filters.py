"""Image filters: typed resizing, blurring and warping with OpenCV. The output has the type of the input."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

A = TypeVar("A", bound=NDArray[Any])


def blur(image: A, sigma: float) -> A:
    """Blur an image with a Gaussian of standard deviation `sigma` in pixels."""
    return cast(A, cv2.GaussianBlur(image, (0, 0), sigma))


def resize(image: A, size: tuple[int, int]) -> A:
    """Resize an image to `size` (H, W): by the mean of the covered pixels to shrink, linearly to enlarge."""
    method = cv2.INTER_AREA if size[0] * size[1] < image.shape[0] * image.shape[1] else cv2.INTER_LINEAR
    return cast(A, cv2.resize(image, (size[1], size[0]), interpolation=method))


def halve(image: A) -> A:
    """Halve an image with even H and W by the means of 2 × 2 pixels. Other ways to shrink take twenty times as long."""
    height, width = image.shape[:2]
    assert height % 2 == 0 and width % 2 == 0
    return cast(A, cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA))


def resize_fast(image: A, size: tuple[int, int]) -> A:
    """Resize an image to `size` (H, W): halve it as often as possible, then resize linearly.

    An odd last row or column is dropped before halving.
    """
    while image.shape[0] >= 2 * size[0] and image.shape[1] >= 2 * size[1]:
        image = halve(cast(A, image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]))
    return cast(A, cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))


def fit(image: A, side: int) -> A:
    """Shrink an image so that its longer side has at most `side` pixels. A smaller image is returned unchanged."""
    height, width = fit_size((image.shape[0], image.shape[1]), side)
    if (height, width) == image.shape[:2]:
        return image
    return cast(A, cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def fit_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the size (H, W) that `fit` gives an image of `size` (H, W)."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def enlarge(image: A, size: tuple[int, int]) -> A:
    """Enlarge an image to `size` (H, W) with cubic interpolation."""
    return cast(A, cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def resize_labels(labels: A, size: tuple[int, int]) -> A:
    """Resize a label map to `size` (H, W) with the label of the nearest pixel."""
    return cast(A, cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT))


def warp(image: A, matrix: NDArray[np.floating], size: tuple[int, int], border: int = cv2.BORDER_CONSTANT) -> A:
    """Warp an image onto `size` (H, W) with linear interpolation.

    Args:
        image: The image (h, w) or (h, w, C).
        matrix: Affine (2, 3) or perspective (3, 3) matrix from source (x, y) to target (x, y).
        size: Size of the result.
        border: OpenCV's rule for pixels outside of the image; by default they are 0.
    """
    move = cv2.warpAffine if matrix.shape[0] == 2 else cv2.warpPerspective
    return cast(A, move(image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=border))


def warp_labels(labels: A, matrix: NDArray[np.floating], size: tuple[int, int]) -> A:
    """Warp a label map like `warp`, with the label of the nearest pixel and 0 outside."""
    move = cv2.warpAffine if matrix.shape[0] == 2 else cv2.warpPerspective
    return cast(A, move(labels, matrix, (size[1], size[0]), flags=cv2.INTER_NEAREST))


def displace(image: A, shift: NDArray[np.float32]) -> A:
    """Replace each pixel by the one at an offset of `shift` (2, H, W) pixels in x and y; 0 outside of the image."""
    return cast(A, cv2.remap(image, *_source_coordinates(shift), cv2.INTER_LINEAR))


def displace_labels(labels: A, shift: NDArray[np.float32]) -> A:
    """Displace a label map like `displace`, with the label of the nearest pixel."""
    return cast(A, cv2.remap(labels, *_source_coordinates(shift), cv2.INTER_NEAREST))


def _source_coordinates(shift: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = np.indices(shift.shape[1:], np.float32)
    return columns + shift[0], rows + shift[1]

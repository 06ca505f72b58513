"""OpenCV's resampling and blurring with types: an array of one kind goes in, one of the same kind comes out."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

A = TypeVar("A", bound=NDArray[Any])


def blurred(image: A, sigma: float) -> A:
    """Gaussian blur, `sigma` in pixels."""
    return cast(A, cv2.GaussianBlur(image, (0, 0), sigma))


def resized(image: A, size: tuple[int, int]) -> A:
    """`image` at `size` (H, W): the mean of the covered pixels where it shrinks, linear where it grows."""
    method = cv2.INTER_AREA if size[0] * size[1] < image.shape[0] * image.shape[1] else cv2.INTER_LINEAR
    return cast(A, cv2.resize(image, (size[1], size[0]), interpolation=method))


def halved(image: A) -> A:
    """`image` (even H and W) at half its size: means of two by two, twenty times as fast as any other shrinking."""
    height, width = image.shape[:2]
    assert height % 2 == 0 and width % 2 == 0
    return cast(A, cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA))


def quickly_resized(image: A, size: tuple[int, int]) -> A:
    """`image` at `size` (H, W), halved while it can be and linear for the rest; a last odd row or column is dropped."""
    while image.shape[0] >= 2 * size[0] and image.shape[1] >= 2 * size[1]:
        image = halved(cast(A, image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]))
    return cast(A, cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))


def fit(picture: A, side: int) -> A:
    """`picture` shrunk so that its long side is at most `side`; never enlarged."""
    height, width = fitted_size((picture.shape[0], picture.shape[1]), side)
    if (height, width) == picture.shape[:2]:
        return picture
    return cast(A, cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def fitted_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The (H, W) of what has `size` once its long side is at most `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def enlarged(image: A, size: tuple[int, int]) -> A:
    """`image` smoothly enlarged (cubic) to `size` (H, W)."""
    return cast(A, cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def relabelled(labels: A, size: tuple[int, int]) -> A:
    """A map of numbers at `size` (H, W): every pixel takes the number of the nearest one."""
    return cast(A, cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT))


def warped(image: A, matrix: NDArray[np.floating], size: tuple[int, int], border: int = cv2.BORDER_CONSTANT) -> A:
    """`image` moved by the 2x3 affine or 3x3 perspective `matrix` (source xy to target xy) onto `size` (H, W)."""
    move = cv2.warpAffine if matrix.shape[0] == 2 else cv2.warpPerspective
    return cast(A, move(image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=border))


def warped_labels(labels: A, matrix: NDArray[np.floating], size: tuple[int, int]) -> A:
    """Like `warped`, for a map of numbers; 0 outside."""
    move = cv2.warpAffine if matrix.shape[0] == 2 else cv2.warpPerspective
    return cast(A, move(labels, matrix, (size[1], size[0]), flags=cv2.INTER_NEAREST))


def bent(image: A, shift: NDArray[np.float32]) -> A:
    """Every pixel taken from `shift` (2, H, W) xy pixels farther on; transparent black from outside."""
    return cast(A, cv2.remap(image, *_sources(shift), cv2.INTER_LINEAR))


def bent_labels(labels: A, shift: NDArray[np.float32]) -> A:
    """Like `bent`, for a map of numbers."""
    return cast(A, cv2.remap(labels, *_sources(shift), cv2.INTER_NEAREST))


def _sources(shift: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = np.indices(shift.shape[1:], np.float32)
    return columns + shift[0], rows + shift[1]

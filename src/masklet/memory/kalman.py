"""Kalman filter of a box: its center, aspect ratio and height, which change with constant velocities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_POSITION_STD = 1 / 20  # of the height: change per frame, and error of a measured box
_VELOCITY_STD = 1 / 160  # of the height: change per frame
_ASPECT_STD, _ASPECT_VELOCITY_STD, _MEASURED_ASPECT_STD = 1e-2, 1e-5, 1e-1
_FIRST_POSITION_FACTOR, _FIRST_VELOCITY_FACTOR = 2, 10  # of the standard deviations on the first frame
_ASPECT = 2  # index of the aspect ratio among the coordinates


class _Coordinate(NamedTuple):
    """One coordinate with its velocity per frame, and the covariance matrix of the two."""

    value: float
    velocity: float
    variance: float
    covariance: float
    velocity_variance: float

    def predict(self, std: float, velocity_std: float) -> _Coordinate:
        """Predict the next frame; the arguments are the standard deviations of the change."""
        return _Coordinate(
            self.value + self.velocity,
            self.velocity,
            self.variance + 2 * self.covariance + self.velocity_variance + std**2,
            self.covariance + self.velocity_variance,
            self.velocity_variance + velocity_std**2,
        )

    def update(self, measured: float, std: float) -> _Coordinate:
        """Correct a prediction by a measured value with a standard deviation."""
        total = self.variance + std**2
        gain, velocity_gain = self.variance / total, self.covariance / total
        error = measured - self.value
        return _Coordinate(
            self.value + gain * error,
            self.velocity + velocity_gain * error,
            self.variance - gain * self.variance,
            self.covariance - gain * self.covariance,
            self.velocity_variance - velocity_gain * self.covariance,
        )


_SIZE = len(_Coordinate._fields)


@dataclass(frozen=True)
class BoxFilter:
    """State of the filter on one frame, with SAMURAI's constants (arXiv 2411.11922), which are DeepSORT's.

    The filter of SORT has eight variables: four coordinates and their velocities. Its noise is independent in each
    coordinate, so the covariance matrix (8, 8) is zero except between a coordinate and its own velocity, and the filter
    is four filters of two variables.

    Attributes:
        coordinates: x and y of the center in pixels, width / height, and height in pixels.
    """

    coordinates: tuple[_Coordinate, ...]

    @staticmethod
    def start(box: NDArray[Any]) -> BoxFilter:
        """Start at a box (4,) xyxy that is not empty."""
        measured = _to_coordinates(box)
        stds = _scale_stds(measured[3], _POSITION_STD * _FIRST_POSITION_FACTOR, _ASPECT_STD)
        velocity_stds = _scale_stds(measured[3], _VELOCITY_STD * _FIRST_VELOCITY_FACTOR, _ASPECT_VELOCITY_STD)
        return BoxFilter(
            tuple(
                _Coordinate(value, 0.0, std**2, 0.0, velocity_std**2)
                for value, std, velocity_std in zip(measured, stds, velocity_stds, strict=True)
            )
        )

    def predict(self) -> BoxFilter:
        """Predict the next frame."""
        stds = _scale_stds(self._height, _POSITION_STD, _ASPECT_STD)
        velocity_stds = _scale_stds(self._height, _VELOCITY_STD, _ASPECT_VELOCITY_STD)
        steps = zip(self.coordinates, stds, velocity_stds, strict=True)
        return BoxFilter(tuple(one.predict(std, velocity_std) for one, std, velocity_std in steps))

    def update(self, box: NDArray[Any]) -> BoxFilter:
        """Correct a prediction by the box (4,) xyxy that was found, which is not empty."""
        stds = _scale_stds(self._height, _POSITION_STD, _MEASURED_ASPECT_STD)
        steps = zip(self.coordinates, _to_coordinates(box), stds, strict=True)
        return BoxFilter(tuple(one.update(measured, std) for one, measured, std in steps))

    @property
    def box(self) -> NDArray[np.float64]:
        """Box (4,) xyxy in pixels."""
        x, y, aspect, height = (one.value for one in self.coordinates)
        width = aspect * height
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])

    def to_floats(self) -> tuple[float, ...]:
        """Return the state as 20 numbers: value, velocity and their covariance matrix for each coordinate."""
        return tuple(chain.from_iterable(self.coordinates))

    @staticmethod
    def from_floats(numbers: Sequence[float]) -> BoxFilter:
        """Make the state from the numbers that `to_floats` returned."""
        return BoxFilter(tuple(_Coordinate(*numbers[start : start + _SIZE]) for start in range(0, len(numbers), _SIZE)))

    @property
    def _height(self) -> float:
        return self.coordinates[3].value


def _to_coordinates(box: NDArray[Any]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(edge) for edge in box)
    height = bottom - top
    return (left + right) / 2, (top + bottom) / 2, (right - left) / height, height


def _scale_stds(height: float, share: float, aspect_std: float) -> tuple[float, ...]:
    """Return the standard deviations of the four coordinates: shares of the height, but for the aspect ratio."""
    return tuple(aspect_std if index == _ASPECT else share * height for index in range(4))

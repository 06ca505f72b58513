"""The Kalman filter of SORT in matrices, written from its published description."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class MatrixKalman:
    """Filter of (xc, yc, w/h, h) and velocities: mean (8,) and covariance (8, 8)."""

    def __init__(self, box: NDArray[Any]) -> None:
        z = self.measure(box)
        h = z[3]
        std = np.array([h / 10, h / 10, 1e-2, h / 10, h / 16, h / 16, 1e-5, h / 16])
        self.mean = np.concatenate([z, np.zeros(4)])
        self.covariance = np.diag(std**2)

    @staticmethod
    def measure(box: NDArray[Any]) -> NDArray[np.float64]:
        x0, y0, x1, y1 = np.asarray(box, np.float64)
        return np.array([(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / (y1 - y0), y1 - y0])

    @property
    def box(self) -> NDArray[np.float64]:
        x, y, a, h = self.mean[:4]
        return np.array([x - a * h / 2, y - h / 2, x + a * h / 2, y + h / 2])

    def predict(self) -> None:
        transition = np.eye(8) + np.eye(8, k=4)
        h = self.mean[3]
        noise = np.array([h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160])
        self.mean = transition @ self.mean
        self.covariance = transition @ self.covariance @ transition.T + np.diag(noise**2)

    def update(self, box: NDArray[Any]) -> None:
        h = self.mean[3]
        noise = np.diag(np.array([h / 20, h / 20, 1e-1, h / 20]) ** 2)
        observe = np.eye(4, 8)
        innovation = observe @ self.covariance @ observe.T + noise
        gain = self.covariance @ observe.T @ np.linalg.inv(innovation)
        self.mean = self.mean + gain @ (self.measure(box) - observe @ self.mean)
        self.covariance = self.covariance - gain @ innovation @ gain.T

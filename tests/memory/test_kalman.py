"""Kalman filter of a box, compared with recorded values of SAMURAI and with the filter in matrices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.masks.iou import box_iou
from masklet.memory.kalman import BoxFilter
from support.matrix_kalman import MatrixKalman

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "samurai_kalman.json").read_text())["rows"]


def read_mean(motion: BoxFilter) -> list[float]:
    return [one.value for one in motion.coordinates] + [one.velocity for one in motion.coordinates]


def read_stds(motion: BoxFilter) -> NDArray[np.float64]:
    variances = [one.variance for one in motion.coordinates] + [one.velocity_variance for one in motion.coordinates]
    return np.sqrt(variances)


def test_the_filter_gives_the_recorded_values_of_samurai() -> None:
    motion = BoxFilter.start(np.array(ROWS[0]["box"]))
    assert read_mean(motion) == pytest.approx(ROWS[0]["mean"], abs=1e-9)
    assert read_stds(motion) == pytest.approx(np.array(ROWS[0]["std"]), abs=1e-9)
    for row in ROWS[1:]:
        motion = motion.predict()
        assert motion.box == pytest.approx(np.array(row["predicted_xyxy"]), abs=1e-9)
        found = np.array([row["box"]])
        assert box_iou(motion.box[None], found)[0, 0] == pytest.approx(row["iou_with_prediction"][0], abs=1e-9)
        motion = motion.update(found[0])
        assert read_mean(motion) == pytest.approx(row["mean"], abs=1e-9)
        assert read_stds(motion) == pytest.approx(np.array(row["std"]), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_four_filters_of_two_variables_equal_one_of_eight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = np.array([10.0, 20.0, 30.0, 60.0])
    motion, matrices = BoxFilter.start(first), MatrixKalman(first)
    for _ in range(50):
        motion = motion.predict()
        matrices.predict()
        if rng.random() < 0.7:
            corner = rng.uniform(0, 100, 2)
            box = np.concatenate([corner, corner + rng.uniform(1, 200, 2)])
            motion = motion.update(box)
            matrices.update(box)
        np.testing.assert_allclose(read_mean(motion), matrices.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(read_stds(motion) ** 2, np.diag(matrices.covariance), rtol=1e-9)
        np.testing.assert_allclose(motion.box, matrices.box, rtol=1e-9, atol=1e-9)


def test_the_state_survives_its_conversion_to_numbers() -> None:
    motion = BoxFilter.start(np.array([3, 4, 50, 60])).predict().update(np.array([4, 4, 50, 62]))
    numbers = motion.to_floats()
    assert len(numbers) == 20
    assert all(isinstance(number, float) for number in numbers)
    assert BoxFilter.from_floats(json.loads(json.dumps(numbers))) == motion

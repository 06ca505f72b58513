"""Recorded masks of the reference's mask generator: 8 points a side, 16 points a batch, thresholds 0, box NMS 0.97."""

from __future__ import annotations

import numpy as np
import pytest

from masklet.predict.mask_generator import MaskGeneratorOptions, generate_masks
from support.recorded import PARITY

pytest.importorskip("torch")

from parity.inputs import frames
from parity.test_video import backend

OPTIONS = MaskGeneratorOptions(
    points_per_side=8, points_per_batch=16, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=0.97
)


CASES = [
    *("sam2-micro_1", "sam2.1-micro_1"),
    *(pytest.param(case, marks=pytest.mark.slow) for case in ("edgetam-micro_1", "efficienttam-micro_1")),
]


@pytest.mark.parametrize("case", CASES)
def test_generated_masks_equal_the_recorded_ones_in_float64(case: str) -> None:
    recorded = np.load(PARITY / f"image_{case}.npz")
    records = generate_masks(backend(case, "float64"), frames(1, 180, 320, 1)[0], OPTIONS).to_records()
    for name, key in (
        ("bbox", "bbox"),
        ("area", "area"),
        ("iou", "predicted_iou"),
        ("stability", "stability_score"),
    ):
        found = np.array([record[key] for record in records])
        assert found.shape == recorded[f"everything_{name}"].shape
        assert np.abs(found - recorded[f"everything_{name}"]).max() < 1e-6, name  # recorded as float32

"""Recorded results of the reference on one image (tests/parity), through the image predictor, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from masklet.compat.sam2.build_sam import build_sam2
from masklet.compat.sam2.sam2_image_predictor import SAM2ImagePredictor
from parity.inputs import frames, weights
from support.recorded import PARITY, load_shapes

SIZE, SEED = (180, 320), 1
CLICKS = {"point_coords": [[70, 60], [200, 100], [10, 10]], "point_labels": [1, 1, 0]}
PROMPTS: dict[str, dict[str, Any]] = {
    "click": {"point_coords": [[70, 60]], "point_labels": [1]},
    "clicks": CLICKS,
    "box": {"box": [40, 30, 120, 110]},
    "box_click": {"box": [40, 30, 120, 110], "point_coords": [[80, 70]], "point_labels": [0]},
}
BOXES = [[40, 30, 120, 110], [10, 10, 60, 60], [100, 50, 300, 170], [200, 20, 280, 90]]


def predict_all(predictor: SAM2ImagePredictor) -> dict[str, Any]:
    """Predict every recorded prompt: masks, scores and low-resolution logits."""
    arrays = {name: {key: np.array(value) for key, value in words.items()} for name, words in PROMPTS.items()}
    found = {f"{name}_multi": predictor.predict(**words) for name, words in arrays.items()}
    found |= {f"{name}_single": predictor.predict(**words, multimask_output=False) for name, words in arrays.items()}
    _, _, low = found["click_multi"]
    found["refine"] = predictor.predict(**arrays["clicks"], mask_input=low[:1], multimask_output=False)
    found["boxes"] = predictor.predict(box=np.array(BOXES), multimask_output=False)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam2-micro", "sam2.1-micro"])
def test_every_recorded_mask_is_predicted(name: str) -> None:
    pytest.importorskip("torch")
    recorded = np.load(PARITY / f"image_{name}_{SEED}.npz")
    model = build_sam2(name, device="cpu", dtype="float64")
    model.load_state_dict(weights(load_shapes()[name], SEED))
    predictor = SAM2ImagePredictor(model)
    predictor.set_image(frames(1, *SIZE, SEED)[0])
    for key, (masks, scores, low) in predict_all(predictor).items():
        assert np.array_equal(np.packbits(masks > 0), recorded[f"{key}_masks"]), key
        assert np.abs(scores.reshape(-1) - recorded[f"{key}_iou"].reshape(-1)).max() < 1e-5, key
        if f"{key}_low" in recorded:
            expected = recorded[f"{key}_low"].reshape(-1)
            flat = low.reshape(-1)
            step = 1 if flat.size == expected.size else max(1, flat.size // 4096)
            assert np.abs(flat[::step][: expected.size] - expected).max() < 1e-5, key

"""Recorded masks of the reference implementation on one image, ten configurations, through the public path.

`masklet.load(file, dtype="float64")` → `embed` → `predict`: every recorded array within 1e-5, masks equal.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import masklet
from masklet import EmbeddedImage, Masks, Prompt, box, click, clicks
from masklet.checkpoints.variants import name_variant
from masklet.config import CONFIGS
from parity.inputs import frames
from support.recorded import PARITY

pytest.importorskip("torch")

SIZE = (180, 320)
SEED = 1
DEFAULT = ["sam2-micro", "sam2.1-micro", "edgetam-micro", "efficienttam-micro"]
REST = [
    "sam2-tiny",
    "sam2.1-tiny",
    "sam2-small",
    "sam2.1-small",
    "sam2-base_plus",
    "sam2.1-base_plus",
    "sam2-large",
    "sam2.1-large",
    *("edgetam", "efficienttam-s", "efficienttam-s-512", "efficienttam-ti", "efficienttam-ti-512"),
]
ALL = [*DEFAULT, *(pytest.param(name, marks=pytest.mark.slow) for name in REST)]
PROMPTS: dict[str, Prompt] = {
    "click": click(70, 60),
    "clicks": clicks([(70, 60), (200, 100), (10, 10)], [1, 1, 0]),
    "box": box(40, 30, 120, 110),
    "box_click": box(40, 30, 120, 110) + click(80, 70, positive=False),
}
BOXES = [box(40, 30, 120, 110), box(10, 10, 60, 60), box(100, 50, 300, 170), box(200, 20, 280, 90)]
Checkpoint = Callable[[str, int], Path]


def image() -> NDArray[np.uint8]:
    return frames(1, *SIZE, SEED)[0]


def sample(array: Any, like: NDArray[Any]) -> NDArray[Any]:
    """Every k-th value, as recorded: k = size // 4096, at least 1."""
    flat = np.asarray(array).reshape(-1)
    step = 1 if flat.size == like.size else max(1, flat.size // 4096)
    return flat[::step][: like.size].reshape(like.shape)


def predict_all(embedded: EmbeddedImage, first: Masks | None = None) -> dict[str, Masks]:
    """Predict the masks of every recorded prompt; the refinement starts from `first` or from our own mask."""
    found = {f"{name}_multi": embedded.predict(prompt, multimask=True) for name, prompt in PROMPTS.items()}
    found |= {f"{name}_single": embedded.predict(prompt, multimask=False) for name, prompt in PROMPTS.items()}
    first = found["click_multi"][0] if first is None else first
    found["refine"] = embedded.predict(PROMPTS["clicks"], multimask=False, refine=first)
    found["boxes"] = embedded.predict(BOXES, multimask=False)
    return found


@pytest.mark.parametrize("name", ALL)
def test_every_recorded_mask_is_predicted_in_float64_and_float32_comes_close(name: str, checkpoint: Checkpoint) -> None:
    recorded = np.load(PARITY / f"image_{name}_{SEED}.npz")
    path, variant = checkpoint(name, SEED), name_variant(CONFIGS[name.replace("_", "-")])
    exact = masklet.load(path, device="cpu", dtype="float64", variant=variant).embed(image())
    features = dict(zip(("high_res_0", "high_res_1", "image_embed"), exact.features, strict=True))
    assert {key for key, value in features.items() if value.numel()} == features.keys() & set(recorded.files)
    for key, value in features.items():
        assert not value.numel() or np.abs(sample(value, recorded[key]) - recorded[key]).max() < 1e-5, key
    masks = predict_all(exact)
    for key, found in masks.items():
        expected = recorded[f"{key}_iou"]
        assert np.abs(found.scores.reshape(expected.shape) - expected).max() < 1e-5, key
        assert np.array_equal(np.packbits(found.binary), recorded[f"{key}_masks"]), key
        if f"{key}_low" in recorded:
            low = sample(found.low_res.clip(-32, 32), recorded[f"{key}_low"])
            assert np.abs(low - recorded[f"{key}_low"]).max() < 1e-5, key
    compare_float32(masklet.load(path, device="cpu", variant=variant).embed(image()), exact, masks)


def compare_float32(single: EmbeddedImage, exact: EmbeddedImage, masks: dict[str, Masks]) -> None:
    for level, reference in zip(single.features, exact.features, strict=True):
        assert not level.numel() or (level - reference).abs().max() < 1e-5 * reference.abs().max()
    for key, found in predict_all(single, first=masks["click_multi"][0]).items():
        # random networks amplify rounding 30,000-fold, so where logits lie near 0 a few pixels differ
        union = (found.binary | masks[key].binary).sum()
        assert (found.binary & masks[key].binary).sum() >= 0.998 * union, key

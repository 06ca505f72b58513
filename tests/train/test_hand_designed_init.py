"""Hand-designed initial weights: an untrained network keeps masks and responds to clicks."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from masklet.backend import MASK_BIAS, MASK_SCALE, Candidates, Features  # noqa: E402
from masklet.config import CONFIGS, EMBEDDED_MODEL, NOT_A_POINT  # noqa: E402
from masklet.model.sam2 import Sam2  # noqa: E402
from masklet.prompts import NEGATIVE, POSITIVE  # noqa: E402
from masklet.train.image_rollout import condition_without_memory  # noqa: E402
from masklet.train.initialization import create_model  # noqa: E402
from masklet.train.prompt_sampling import downsample_masks, make_empty_prompts  # noqa: E402

SIDE = 256
ELLIPSE, DISC = (0.45, 0.4), (0.75, 0.8)  # centers of the objects


@pytest.fixture(scope="module", params=[EMBEDDED_MODEL, "sam2.1-micro", "lite-micro"])
def model(request: pytest.FixtureRequest) -> Sam2:
    return create_model(CONFIGS[request.param], seed=1).eval()


@pytest.fixture(scope="module")
def features(model: Sam2) -> Features:
    """Features of noise without an object."""
    with torch.no_grad():
        return model.encode(torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)))


@pytest.fixture(scope="module")
def ground_truth() -> torch.Tensor:
    """(1, S, S) bool: an ellipse and a small disc."""
    y, x = (torch.arange(SIDE)[:, None] + 0.5) / SIDE, (torch.arange(SIDE) + 0.5) / SIDE
    ellipse = ((x - ELLIPSE[0]) / 0.2) ** 2 + ((y - ELLIPSE[1]) / 0.12) ** 2 < 1
    disc = (x - DISC[0]) ** 2 + (y - DISC[1]) ** 2 < 0.06**2
    return (ellipse | disc)[None]


def predict(
    model: Sam2, features: Features, points: dict[tuple[float, float], int], mask: torch.Tensor | None = None
) -> Candidates:
    """Predict on one image from points with labels, and from mask logits if they are given."""
    places = torch.tensor([[(0.0, 0.0), *points]])
    labels = torch.tensor([[NOT_A_POINT, *points.values()]])
    with torch.no_grad():
        return model.decode(condition_without_memory(model, features), places, labels, mask)


def compute_ious(candidates: Candidates, ground_truth: torch.Tensor) -> torch.Tensor:
    """Return the IoU of the four masks."""
    predicted = F.interpolate(candidates.logits, ground_truth.shape[-2:], mode="bilinear")[0] > 0
    return (predicted & ground_truth).sum((1, 2)) / (predicted | ground_truth).sum((1, 2))


def test_a_mask_prompt_is_predicted_again(model: Sam2, features: Features, ground_truth: torch.Tensor) -> None:
    logits = downsample_masks(ground_truth) * MASK_SCALE + MASK_BIAS
    assert compute_ious(predict(model, features, {}, logits), ground_truth).min() > 0.85


@pytest.mark.parametrize("frames", [1, 5])
def test_a_mask_in_memory_is_predicted_again(
    model: Sam2, features: Features, ground_truth: torch.Tensor, frames: int
) -> None:
    logits, prompts = downsample_masks(ground_truth) * MASK_SCALE + MASK_BIAS, make_empty_prompts(ground_truth)
    pointers = predict(model, features, {}, logits).pointers[:, :1].expand(-1, frames, -1)
    times = torch.linspace(0, 0.3, frames)[None]
    with torch.no_grad():
        memory = model.memorize(features, logits, torch.ones(1, 1), torch.zeros(1, dtype=torch.bool))
        memories = memory[:, None].expand(-1, frames, -1, -1, -1)
        conditioned = model.attend(features, memories, torch.arange(frames)[None], pointers, times)
        candidates = model.decode(conditioned, prompts.points, prompts.labels, None, None, prompts.present)
    assert compute_ious(candidates, ground_truth).min() > 0.6


def test_a_click_selects_its_surroundings(model: Sam2, features: Features) -> None:
    for center in (ELLIPSE, DISC):
        logits = predict(model, features, {center: POSITIVE}).logits[0]
        x, y = (int(part * logits.shape[-1]) for part in center)
        assert logits[:, y - 2 : y + 3, x - 2 : x + 3].mean((1, 2)).min() > 0
        assert (logits > 0).float().mean() < 0.5


def test_a_negative_click_lowers_the_logits_around_it(
    model: Sam2, features: Features, ground_truth: torch.Tensor
) -> None:
    logits = downsample_masks(ground_truth) * MASK_SCALE + MASK_BIAS
    before = predict(model, features, {ELLIPSE: POSITIVE}, logits).logits[0]
    after = predict(model, features, {ELLIPSE: POSITIVE, DISC: NEGATIVE}, logits).logits[0]
    x, y = (int(part * before.shape[-1]) for part in DISC)
    assert (after - before)[:, y - 2 : y + 3, x - 2 : x + 3].mean((1, 2)).max() < -1


def test_positions_are_linear_in_the_finest_features(model: Sam2, features: Features) -> None:
    values = features.stride4[0].flatten(1).T
    side = features.stride4.shape[-1]
    places = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij"), dim=-1).flatten(0, 1)
    values = F.pad(values, (0, 1), value=1.0)
    residuals = values @ torch.linalg.lstsq(values, places).solution - places
    assert residuals.square().mean().sqrt() < 0.1

"""What a network can do before it has learned anything."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from masklet.backend import Candidates, Features  # noqa: E402
from masklet.config import CONFIGS, EMBEDDED_MODEL  # noqa: E402
from masklet.model.sam2 import MASK_BIAS, MASK_SCALE, Sam2  # noqa: E402
from masklet.train.image_rollout import unremembering  # noqa: E402
from masklet.train.initialization import fresh  # noqa: E402
from masklet.train.prompt_sampling import NEGATIVE, NO_POINT, POSITIVE, shrunk, unprompted  # noqa: E402

SIDE = 256
ELLIPSE, DISC = (0.45, 0.4), (0.75, 0.8)  # the middles of what there is to see


@pytest.fixture(scope="module", params=[EMBEDDED_MODEL, "sam2.1-micro"])
def model(request: pytest.FixtureRequest) -> Sam2:
    return fresh(CONFIGS[request.param], seed=1).eval()


@pytest.fixture(scope="module")
def features(model: Sam2) -> Features:
    """Of noise, in which there is nothing to find."""
    with torch.no_grad():
        return model.encode(torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)))


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    """(1, S, S) bool: an ellipse and a small disc."""
    y, x = (torch.arange(SIDE)[:, None] + 0.5) / SIDE, (torch.arange(SIDE) + 0.5) / SIDE
    ellipse = ((x - ELLIPSE[0]) / 0.2) ** 2 + ((y - ELLIPSE[1]) / 0.12) ** 2 < 1
    disc = (x - DISC[0]) ** 2 + (y - DISC[1]) ** 2 < 0.06**2
    return (ellipse | disc)[None]


def asked(model: Sam2, features: Features, points: dict[tuple[float, float], int], mask: torch.Tensor | None = None):
    """The answer on one picture to points with their labels, and perhaps to a mask's logits."""
    places = torch.tensor([[(0.0, 0.0), *points]])
    labels = torch.tensor([[NO_POINT, *points.values()]])
    with torch.no_grad():
        return model.decode(unremembering(model, features), places, labels, mask)


def overlaps(answer: Candidates, truth: torch.Tensor) -> torch.Tensor:
    """(4,): IoU of the four masks."""
    found = F.interpolate(answer.logits, truth.shape[-2:], mode="bilinear")[0] > 0
    return (found & truth).sum((1, 2)) / (found | truth).sum((1, 2))


def test_a_mask_given_as_a_prompt_is_answered_again(model: Sam2, features: Features, truth: torch.Tensor) -> None:
    logits = shrunk(truth) * MASK_SCALE + MASK_BIAS
    assert overlaps(asked(model, features, {}, logits), truth).min() > 0.85


@pytest.mark.parametrize("frames", [1, 5])
def test_a_remembered_mask_is_answered_again(model: Sam2, features: Features, truth: torch.Tensor, frames: int) -> None:
    logits, question = shrunk(truth) * MASK_SCALE + MASK_BIAS, unprompted(truth)
    pointers = asked(model, features, {}, logits).pointers[:, :1].expand(-1, frames, -1)
    times = torch.linspace(0, 0.3, frames)[None]
    with torch.no_grad():
        memory = model.memorize(features, logits, torch.ones(1, 1), torch.zeros(1, dtype=torch.bool))
        memories = memory[:, None].expand(-1, frames, -1, -1, -1)
        seen = model.attend(features, memories, torch.arange(frames)[None], pointers, times)
        answer = model.decode(seen, question.points, question.labels, None, None, question.present)
    assert overlaps(answer, truth).min() > 0.6


def test_a_click_means_what_is_around_it(model: Sam2, features: Features) -> None:
    for place in (ELLIPSE, DISC):
        logits = asked(model, features, {place: POSITIVE}).logits[0]
        across, down = (int(part * logits.shape[-1]) for part in place)
        assert logits[:, down - 2 : down + 3, across - 2 : across + 3].mean((1, 2)).min() > 0
        assert (logits > 0).float().mean() < 0.5


def test_a_negative_click_takes_away(model: Sam2, features: Features, truth: torch.Tensor) -> None:
    logits = shrunk(truth) * MASK_SCALE + MASK_BIAS
    with_it = asked(model, features, {ELLIPSE: POSITIVE}, logits).logits[0]
    without = asked(model, features, {ELLIPSE: POSITIVE, DISC: NEGATIVE}, logits).logits[0]
    across, down = (int(part * with_it.shape[-1]) for part in DISC)
    assert (without - with_it)[:, down - 2 : down + 3, across - 2 : across + 3].mean((1, 2)).max() < -1


def test_places_can_be_read_from_the_finest_features(model: Sam2, features: Features) -> None:
    known = features.stride4[0].flatten(1).T
    side = features.stride4.shape[-1]
    places = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij"), dim=-1).flatten(0, 1)
    known = F.pad(known, (0, 1), value=1.0)
    missed = known @ torch.linalg.lstsq(known, places).solution - places
    assert missed.square().mean().sqrt() < 0.1

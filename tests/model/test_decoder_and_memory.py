"""Prompt encoder, mask decoder and memory attention: padding, sharing and scheduling do not change results."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from masklet.backend import Features  # noqa: E402
from masklet.config import CONFIGS, NOT_A_POINT  # noqa: E402
from masklet.model.neck import Neck, _apply_merged  # noqa: E402
from masklet.model.sam2 import Sam2, select_pointers  # noqa: E402

MICRO = CONFIGS["sam2.1-micro"]
SIDE = 8
NAMES = ("sam2.1-micro", "edgetam-micro", "efficienttam-micro-1", "efficienttam-micro-2")


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> Sam2:
    torch.manual_seed(0)
    network = Sam2(CONFIGS[request.param])
    for tensor in network.state_dict().values():
        torch.nn.init.normal_(tensor, std=0.1)
    return network.double().eval().requires_grad_(False)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_features(model: Sam2) -> Features:
    sides = (4 * SIDE, 2 * SIDE, SIDE)
    widths = model.config.feature_channels
    return Features(*(random(1, width, side, side, seed=side) for width, side in zip(widths, sides, strict=True)))


def test_padding_tokens_do_not_depend_on_their_position(model: Sam2) -> None:
    labels = torch.tensor([[1, NOT_A_POINT]])
    first, second = (
        model.prompt_encoder.encode_points(torch.tensor([[[0.2, 0.3], [x, x]]]).double(), labels, 64)
        for x in (0.0, 0.9)
    )
    assert torch.equal(first, second)
    assert torch.equal(first[0, 1], model.prompt_encoder.not_a_point[0])


def test_points_that_are_not_present_do_not_change_the_masks(model: Sam2) -> None:
    points, labels = torch.tensor([[[0.2, 0.3], [0.7, 0.1]]]).double(), torch.tensor([[1, 0]])
    alone = model.decode(make_features(model), points[:, :1], labels[:, :1])
    padded = model.decode(make_features(model), points, labels, present=torch.tensor([[True, False]]))
    both = model.decode(make_features(model), points, labels)
    torch.testing.assert_close(padded.logits, alone.logits)
    assert (both.logits - alone.logits).abs().max() > 1e-6


def test_masked_selects_which_prompts_have_a_mask(model: Sam2) -> None:
    points, labels = torch.tensor([[[0.2, 0.3]], [[0.7, 0.1]]]).double(), torch.tensor([[1], [1]])
    mask = random(2, 1, 4 * SIDE, 4 * SIDE)
    mixed = model.decode(make_features(model), points, labels, mask, torch.tensor([True, False]))
    torch.testing.assert_close(
        mixed.logits[:1], model.decode(make_features(model), points[:1], labels[:1], mask[:1]).logits
    )
    torch.testing.assert_close(mixed.logits[1:], model.decode(make_features(model), points[1:], labels[1:]).logits)


def test_pointers_of_hidden_objects_are_no_pointer(model: Sam2) -> None:
    pointers = random(2, MICRO.channels)
    selected = select_pointers(model, pointers, torch.tensor([[1.0], [-1.0]]).double())
    assert torch.equal(selected[0], pointers[0])
    assert torch.equal(selected[1], model.no_pointer[0])


def attend(model: Sam2, features: Features, objects: int, *, scaled: bool = False) -> torch.Tensor:
    memories = random(objects, 2, *model.config.memory_shape(16 * SIDE), seed=1)
    slots = torch.tensor([[6, 0]]).expand(objects, -1)
    pointers, times = random(objects, 3, MICRO.channels, seed=2), random(objects, 3, seed=3).tanh()
    scales = (random(objects, 2, seed=4).exp(), random(objects, 3, seed=5).exp()) if scaled else None
    return model.attend(features, memories, slots, pointers, times, scales).stride16


def test_shared_features_attend_as_repeated_features_do(model: Sam2) -> None:
    features = make_features(model)
    repeated = features._replace(stride16=features.stride16.expand(3, -1, -1, -1))
    torch.testing.assert_close(attend(model, features, 3), attend(model, repeated, 3))


@pytest.mark.parametrize("scaled", [False, True])
def test_objects_in_turn_attend_as_together(model: Sam2, scaled: bool) -> None:
    together = attend(model, make_features(model), 3, scaled=scaled)
    model.memory_attention.scores_at_once = 64
    try:
        torch.testing.assert_close(attend(model, make_features(model), 3, scaled=scaled), together)
    finally:
        model.memory_attention.scores_at_once = None


def test_without_memories_the_no_memory_embedding_is_added(model: Sam2) -> None:
    features = make_features(model)
    empty = torch.zeros(2, 0, *model.config.memory_shape(16 * SIDE)).double()
    nothing = torch.zeros(2, 0)
    attended = model.attend(features, empty, nothing.long(), torch.zeros(2, 0, MICRO.channels).double(), nothing)
    expected = features.stride16 + model.no_memory.view(1, -1, 1, 1)
    assert torch.equal(attended.stride16, expected.expand(2, -1, -1, -1))


def test_memories_of_prompted_frames_are_binarized(model: Sam2) -> None:
    logits = random(1, 1, 4 * SIDE, 4 * SIDE)
    score, prompted = torch.ones(1, 1).double(), torch.tensor([True])
    soft, louder = (model.memorize(make_features(model), factor * logits, score, ~prompted) for factor in (1, 3))
    hard, harder = (model.memorize(make_features(model), factor * logits, score, prompted) for factor in (1, 3))
    torch.testing.assert_close(hard, harder)
    assert (soft - louder).abs().max() > 1e-6


def test_two_convolutions_are_merged_into_one() -> None:
    neck, x = Neck(MICRO).double().requires_grad_(False), random(1, MICRO.width, 5, 5)
    lateral, outer = neck.laterals[0], neck.stride4
    torch.testing.assert_close(_apply_merged(lateral, outer, x), outer(lateral(x)))


def test_a_memory_has_the_shape_of_the_configuration(model: Sam2) -> None:
    logits = random(2, 1, 4 * SIDE, 4 * SIDE)
    memory = model.memorize(make_features(model), logits, torch.ones(2, 1), torch.tensor([True, False]))
    assert memory.shape == (2, *model.config.memory_shape(16 * SIDE))

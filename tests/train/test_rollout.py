"""Rollouts: which parameters get gradients, and that predictions and memory are those of inference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masklet.backend import Candidates, Features  # noqa: E402
from masklet.config import CONFIGS  # noqa: E402
from masklet.memory.memory_bank import MemoryBank  # noqa: E402
from masklet.model.sam2 import Sam2  # noqa: E402
from masklet.train import image_rollout  # noqa: E402
from masklet.train.batches import Batch, Batches, BatchRequest, create_object_generators  # noqa: E402
from masklet.train.image_rollout import (  # noqa: E402
    RolloutOptions,
    RolloutResult,
    condition_without_memory,
    encode_images,
    roll_out_images,
)
from masklet.train.initialization import create_model  # noqa: E402
from masklet.train.loss_weights import LossWeights  # noqa: E402
from masklet.train.prompt_sampling import DecoderPrompts  # noqa: E402
from masklet.train.prompt_shares import PromptShares  # noqa: E402
from masklet.train.synthetic_ellipses import compute_ellipse_loss, draw_ellipses  # noqa: E402
from masklet.train.video_rollout import PromptSchedule, draw_schedule, roll_out_clips, stack_recall  # noqa: E402
from support.networks import make_model  # noqa: E402
from support.train_fakes import disc_mixture  # noqa: E402

SIZE = 64
MEMORY = ("memory_", "slots", "pointer_", "no_pointer", "hidden", "mask_downsample")


@pytest.fixture(scope="module")
def model() -> Sam2:
    return create_model(CONFIGS["sam2.1-micro"], seed=2)


def make_batch(frames: int = 0, size: int = SIZE) -> Batch:
    batches = Batches(
        disc_mixture(), images_per_batch=2, objects_per_image=2, clips_per_batch=1, objects_per_clip=2, seed=0
    )
    return batches[BatchRequest(0, size, range(1 if frames else 2), frames)]


def options(**changes: object) -> RolloutOptions:
    return RolloutOptions(PromptShares(0, 1, 0), LossWeights(), **{"clicks": 2, "low_res_loss": True} | changes)  # type: ignore[arg-type]


def roll_out(model: Sam2, chosen: RolloutOptions) -> RolloutResult:
    batch = make_batch()
    features = encode_images(model, batch.frames, chosen)
    return roll_out_images(model, features, batch.ground_truth, chosen, create_object_generators(0, 0, range(2), 2))


def track(
    model: Sam2, schedule: PromptSchedule, chosen: RolloutOptions, length: int = 3, size: int = SIZE
) -> RolloutResult:
    batch = make_batch(length, size)
    return roll_out_clips(model, *batch, schedule, chosen, create_object_generators(0, 0, range(1), 2))


def names_with_gradient(model: Sam2, result: RolloutResult) -> set[str]:
    """Return the names of the parameters that get a gradient."""
    model.zero_grad()
    result.losses.total(LossWeights()).backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_images_train_everything_except_the_memory(model: Sam2) -> None:
    names = names_with_gradient(model, roll_out(model, options()))
    encoder = ("trunk.patches", "trunk.positions", "trunk.blocks.0", "trunk.blocks.6", "neck.laterals.3", "no_memory")
    prompts = (
        "prompt_encoder.labels.1",
        "prompt_encoder.mask1",
        "prompt_encoder.no_mask",
        "prompt_encoder.not_a_point",
    )
    decoder = ("mask_decoder.transformer", "mask_decoder.iou_head", "mask_decoder.object_head", "mask_decoder.upscale2")
    for part in (*encoder, *prompts, *decoder):
        assert any(name.startswith(part) for name in names), part
    assert not {name for name in names if name.startswith(MEMORY)}


def test_clips_also_train_the_memory(model: Sam2) -> None:
    names = names_with_gradient(model, track(model, PromptSchedule((0,), (0,), False), options()))
    for part in ("memory_attention.layers.0", "memory_encoder.out", "slots", "pointer_head", "pointer_times", "trunk"):
        assert any(name.startswith(part) for name in names), part


@pytest.mark.parametrize("name", ["edgetam-micro", "efficienttam-micro-1"])
def test_clips_train_the_memory_of_edgetam_and_efficienttam(name: str) -> None:
    network = Sam2(CONFIGS[name])
    network.load_state_dict({key: torch.from_numpy(value) for key, value in make_model(name).tensors.items()})
    names = names_with_gradient(network, track(network, PromptSchedule((0,), (0,), False), options(), size=128))
    perceiver = {key for key in network.state_dict() if key.startswith("perceiver.")}
    assert {key for key in names if key.startswith("perceiver.")} == perceiver
    for part in ("memory_attention.layers.0", "memory_encoder.out", "slots", "pointer_head", "trunk", "neck"):
        assert any(key.startswith(part) for key in names), part


def test_a_mask_prompt_trains_through_its_memory(model: Sam2) -> None:
    names = names_with_gradient(model, track(model, PromptSchedule((0,), (), True), options()))
    assert "mask_downsample.weight" in names
    assert "memory_encoder.mask.convs.0.weight" in names


def test_activation_checkpointing_gives_the_same_gradients(model: Sam2) -> None:
    gradients = []
    for checkpointing in (False, True):
        model.zero_grad()
        roll_out(model, options(activation_checkpointing=checkpointing)).losses.total(LossWeights()).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for stored, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(stored, recomputed, rtol=1e-5, atol=1e-6)


def test_zoom_refinement_starts_from_a_blurred_prediction_and_trains_the_single_mask(
    model: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts_seen, candidates_seen = [], []

    def record(model: Sam2, features: Features, prompts: DecoderPrompts, chosen: RolloutOptions) -> Candidates:
        prompts_seen.append(prompts)
        candidates_seen.append(original(model, features, prompts, chosen))
        return candidates_seen[-1]

    original = image_rollout.decode_prompts
    monkeypatch.setattr(image_rollout, "decode_prompts", record)
    result = roll_out(model, options(blur_factor=4))
    first, second, third = prompts_seen
    assert torch.equal(second.points, first.points) and third.points.shape[1] == first.points.shape[1] + 1
    logits = image_rollout.select_masks(candidates_seen[0], first.ambiguous).logits.detach().numpy()[:, 0]
    means = logits.reshape(4, SIZE // 16, 4, SIZE // 16, 4).mean(axis=(2, 4))
    blurred = [cv2.resize(one, logits.shape[1:], interpolation=cv2.INTER_LINEAR) for one in means]
    np.testing.assert_allclose(second.mask.detach()[:, 0], blurred, atol=1e-5)
    assert torch.equal(third.mask, candidates_seen[1].logits[:, :1])  # one of the three multimask outputs would differ
    assert result.predictions == 3 * 4


def test_conditioned_features_are_those_of_the_backend(model: Sam2) -> None:
    from masklet.backends.torch import build

    batch, chosen = make_batch(), options(clicks=0)
    features = condition_without_memory(model, encode_images(model, batch.frames, chosen))
    backend = build(
        model.config, {name: value.detach().numpy() for name, value in model.state_dict().items()}, input_size=SIZE
    )
    image = batch.frames[0].numpy()
    conditioned = backend.attend(backend.encode([image])[0], [MemoryBank().recall(0)])
    # float32 sums in two different orders
    torch.testing.assert_close(conditioned.stride16, features.stride16[:1], rtol=1e-4, atol=1e-4)


def test_memory_attention_is_that_of_the_backend(model: Sam2) -> None:
    from masklet.backend import Memory
    from masklet.backends.torch import build

    backend = build(
        model.config, {name: value.detach().numpy() for name, value in model.state_dict().items()}, input_size=SIZE
    )
    bank, side = MemoryBank(), SIZE // 16
    for frame in range(4):
        maps = torch.randn(1, model.config.memory_channels, side, side)
        bank.remember(frame, Memory(maps, torch.randn(1, model.config.channels)), prompted=frame == 0)
    recall = bank.recall(4, length=5)
    levels = [
        torch.randn(1, channels, SIZE // stride, SIZE // stride) for channels, stride in ((32, 4), (64, 8), (256, 16))
    ]
    features = Features(*levels)
    with torch.no_grad():
        ours = model.attend(features, *stack_recall(recall, features.stride16)).stride16
    torch.testing.assert_close(ours, backend.attend(features, [recall]).stride16, rtol=1e-4, atol=1e-4)


def test_a_hidden_object_has_only_the_loss_of_the_object_score(model: Sam2) -> None:
    batch = make_batch(3)
    hidden = batch.ground_truth.clone()
    hidden[:, :, 1:] = False
    result = roll_out_clips(
        model,
        batch.frames,
        hidden,
        PromptSchedule((0,), (), True),
        options(),
        create_object_generators(0, 0, range(1), 2),
    )
    assert [part.item() for part in result.losses[:3]] == [0, 0, 0]
    assert result.losses.object_score.item() > 0


def test_schedules_prompt_the_first_frame_and_respect_the_limits() -> None:
    for seed in range(200):
        schedule = draw_schedule(8, 0.5, 2, 2, np.random.default_rng(seed))
        assert schedule.prompted[0] == 0
        assert len(set(schedule.prompted)) == len(schedule.prompted) <= 2
        assert set(schedule.corrected) >= set(schedule.prompted) or schedule.masks
        assert len(set(schedule.corrected)) == len(schedule.corrected) <= 2


def test_synthetic_ellipses_are_small_and_train_everything_except_the_memory(model: Sam2) -> None:
    sides = []
    for mask in draw_ellipses(256, create_object_generators(0, 0, range(20), 1), torch.device("cpu")).numpy():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        sides += [len(rows), len(columns)]
        assert mask.sum() == pytest.approx(np.pi / 4 * len(rows) * len(columns), rel=0.25)
    assert 3 <= min(sides) < 16 < max(sides) <= 64
    features = encode_images(model, make_batch().frames, options())
    loss = compute_ellipse_loss(model, features, SIZE, options(), create_object_generators(0, 0, range(2), 3))
    model.zero_grad()
    loss.backward()
    names = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {"prompt_encoder.labels.2", "prompt_encoder.labels.3", "trunk.patches.weight"} <= names
    assert not {name for name in names if name.startswith(MEMORY)}


@pytest.mark.parametrize("length", [1, 2])
def test_mask_prompts_leave_a_frame_to_predict(length: int) -> None:
    for seed in range(50):
        schedule = draw_schedule(length, 1.0, 2, 2, np.random.default_rng(seed))
        assert schedule.prompted[0] == 0
        assert not schedule.masks or len(schedule.prompted) < length

"""Rollouts with gradients: they go where they should, and answers are what the model would give anyway."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masklet.backend import Candidates, Features  # noqa: E402
from masklet.config import CONFIGS  # noqa: E402
from masklet.model.sam2 import Sam2  # noqa: E402
from masklet.tracking.memory_bank import MemoryBank  # noqa: E402
from masklet.train import image_rollout  # noqa: E402
from masklet.train.batches import Batch, Batches, Request, row_generators  # noqa: E402
from masklet.train.image_rollout import Outcome, Plan, encoded, pictures, unremembering  # noqa: E402
from masklet.train.initialization import fresh  # noqa: E402
from masklet.train.losses import Weights  # noqa: E402
from masklet.train.prompt_sampling import Asked, Shares  # noqa: E402
from masklet.train.synthetic_ellipses import drilled, ellipses  # noqa: E402
from masklet.train.video_rollout import Script, clips, drawn_script, recalled  # noqa: E402
from support.train_fakes import discs  # noqa: E402

SIZE = 64
MEMORY = ("memory_", "slots", "pointer_", "no_pointer", "hidden", "mask_downsample")


@pytest.fixture(scope="module")
def model() -> Sam2:
    return fresh(CONFIGS["sam2.1-micro"], seed=2)


def batch(frames: int = 0) -> Batch:
    batches = Batches(discs(), pictures=2, objects=2, clips=1, clip_objects=2, seed=0)
    return batches[Request(0, SIZE, range(1 if frames else 2), frames)]


def plan(**changes: object) -> Plan:
    return Plan(Shares(0, 1, 0), Weights(), **{"clicks": 2, "coarse": True} | changes)  # type: ignore[arg-type]


def rolled(model: Sam2, made: Plan) -> Outcome:
    given = batch()
    features = encoded(model, given.frames, made)
    return pictures(model, features, given.truth, made, row_generators(0, 0, range(2), 2))


def tracked(model: Sam2, script: Script, made: Plan, length: int = 3) -> Outcome:
    given = batch(length)
    return clips(model, *given, script, made, row_generators(0, 0, range(1), 2))


def reached(model: Sam2, outcome: Outcome) -> set[str]:
    """The names of the parameters that get a gradient."""
    model.zero_grad()
    outcome.parts.total(Weights()).backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_pictures_train_everything_but_the_memory(model: Sam2) -> None:
    found = reached(model, rolled(model, plan()))
    encoder = ("trunk.patches", "trunk.positions", "trunk.blocks.0", "trunk.blocks.6", "neck.laterals.3", "no_memory")
    prompts = (
        "prompt_encoder.labels.1",
        "prompt_encoder.mask1",
        "prompt_encoder.no_mask",
        "prompt_encoder.not_a_point",
    )
    decoder = ("mask_decoder.transformer", "mask_decoder.iou_head", "mask_decoder.object_head", "mask_decoder.upscale2")
    for part in (*encoder, *prompts, *decoder):
        assert any(name.startswith(part) for name in found), part
    assert not {name for name in found if name.startswith(MEMORY)}


def test_clips_train_the_memory_too(model: Sam2) -> None:
    found = reached(model, tracked(model, Script((0,), (0,), False), plan()))
    for part in ("memory_attention.layers.0", "memory_encoder.out", "slots", "pointer_head", "pointer_times", "trunk"):
        assert any(name.startswith(part) for name in found), part


def test_a_given_mask_trains_through_what_is_remembered_of_it(model: Sam2) -> None:
    found = reached(model, tracked(model, Script((0,), (), True), plan()))
    assert "mask_downsample.weight" in found
    assert "memory_encoder.mask.convs.0.weight" in found


def test_recomputing_activations_changes_nothing(model: Sam2) -> None:
    gradients = []
    for recompute in (False, True):
        model.zero_grad()
        rolled(model, plan(recompute=recompute)).parts.total(Weights()).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for kept, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, recomputed, rtol=1e-5, atol=1e-6)


def test_a_closer_look_starts_from_a_blurred_answer_and_gives_the_single_mask(
    model: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, shown = [], []

    def asked_of(model: Sam2, features: Features, one: Asked, made: Plan) -> Candidates:
        asked.append(one)
        shown.append(original(model, features, one, made))
        return shown[-1]

    original = image_rollout.asked_of
    monkeypatch.setattr(image_rollout, "asked_of", asked_of)
    outcome = rolled(model, plan(blurred=4))
    first, second, third = asked
    assert torch.equal(second.points, first.points) and third.points.shape[1] == first.points.shape[1] + 1
    answer = image_rollout.chosen(shown[0], first.ambiguous).logits.detach().numpy()[:, 0]
    means = answer.reshape(4, SIZE // 16, 4, SIZE // 16, 4).mean(axis=(2, 4))
    blurred = [cv2.resize(one, answer.shape[1:], interpolation=cv2.INTER_LINEAR) for one in means]
    np.testing.assert_allclose(second.mask.detach()[:, 0], blurred, atol=1e-5)
    assert torch.equal(third.mask, shown[1].logits[:, :1])  # by one of the three it would be another
    assert outcome.answers == 3 * 4


def test_the_answer_in_training_is_the_answer_of_the_backend(model: Sam2) -> None:
    from masklet.backends.torch import build
    from masklet.predict.embedded_image import FullImage

    given, made = batch(), plan(clicks=0)
    features = unremembering(model, encoded(model, given.frames, made))
    backend = build(
        model.config, {name: value.detach().numpy() for name, value in model.state_dict().items()}, input_size=SIZE
    )
    image = given.frames[0].numpy()
    seen = backend.attend(backend.encode([image])[0], [MemoryBank().recall(0)])
    # float32 through two orders of summing
    torch.testing.assert_close(seen.stride16, features.stride16[:1], rtol=1e-4, atol=1e-4)
    assert FullImage(backend, seen, (SIZE, SIZE)).size == (SIZE, SIZE)


def test_memories_in_training_are_recalled_as_by_the_backend(model: Sam2) -> None:
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
        ours = model.attend(features, *recalled(recall, features.stride16)).stride16
    torch.testing.assert_close(ours, backend.attend(features, [recall]).stride16, rtol=1e-4, atol=1e-4)


def test_a_hidden_object_has_only_the_loss_of_being_seen(model: Sam2) -> None:
    given = batch(3)
    hidden = given.truth.clone()
    hidden[:, :, 1:] = False
    outcome = clips(model, given.frames, hidden, Script((0,), (), True), plan(), row_generators(0, 0, range(1), 2))
    assert [part.item() for part in outcome.parts[:3]] == [0, 0, 0]
    assert outcome.parts.occlusion.item() > 0


def test_scripts_prompt_the_first_frame_and_at_most_what_is_allowed() -> None:
    for seed in range(200):
        script = drawn_script(8, 0.5, 2, 2, np.random.default_rng(seed))
        assert script.prompted[0] == 0
        assert len(set(script.prompted)) == len(script.prompted) <= 2
        assert set(script.corrected) >= set(script.prompted) or script.masks
        assert len(set(script.corrected)) == len(script.corrected) <= 2


def test_drills_are_small_ellipses_and_train_all_but_the_memory(model: Sam2) -> None:
    sides = []
    for mask in ellipses(256, row_generators(0, 0, range(20), 1), torch.device("cpu")).numpy():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        sides += [len(rows), len(columns)]
        assert mask.sum() == pytest.approx(np.pi / 4 * len(rows) * len(columns), rel=0.25)
    assert 3 <= min(sides) < 16 < max(sides) <= 64
    features = encoded(model, batch().frames, plan())
    loss = drilled(model, features, SIZE, plan(), row_generators(0, 0, range(2), 3))
    model.zero_grad()
    loss.backward()
    found = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {"prompt_encoder.labels.2", "prompt_encoder.labels.3", "trunk.patches.weight"} <= found
    assert not {name for name in found if name.startswith(MEMORY)}

"""Batches of images and clips composed in PyTorch, and their targets."""

from __future__ import annotations

import numpy as np
import pytest

from support.tiny_pack import sprite, tiny_pack

torch = pytest.importorskip("torch")

from masklet.synthetic.engine.asset_bank import load_bank  # noqa: E402
from masklet.synthetic.engine.batch_compose import BatchComposer, ComposedBatch  # noqa: E402
from masklet.synthetic.engine.batch_random import BatchRandom  # noqa: E402
from masklet.synthetic.engine.batch_targets import (  # noqa: E402
    INSTANCE,
    NONE,
    PART,
    REGION,
    UNION,
    SceneMaps,
    choose_clip_targets,
    choose_image_targets,
)
from masklet.synthetic.engine.compose import ImageSettings  # noqa: E402
from masklet.synthetic.engine.sprites import make_sprite  # noqa: E402
from masklet.synthetic.engine.tensor_bank import (  # noqa: E402
    LEVELS,
    SPRITE_SIDE,
    TensorBank,
    _build_atlas,
    build_tensor_bank,
    locate_level,
)

SIZE, BATCH, TARGETS = 48, 10, 3
FEW = ImageSettings(objects=(1, 4))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> TensorBank:
    return build_tensor_bank(load_bank(tiny_pack(tmp_path_factory.mktemp("tiny")), views=2), shapes=4, canvases=6)


@pytest.fixture(scope="module")
def batch(bank: TensorBank) -> ComposedBatch:
    return BatchComposer(bank, SIZE, BATCH, 1, TARGETS, FEW).sample(0)


def make_scene(objects: object, parts: object | None = None, regions: object | None = None) -> SceneMaps:
    labels = torch.as_tensor(np.array(objects))[None]
    whole = torch.stack([torch.tensor([float((labels == n).sum()) for n in range(int(labels.max()) + 1)])])
    empty = torch.zeros_like(labels)
    maps = [empty if given is None else torch.as_tensor(np.array(given))[None] for given in (parts, regions)]
    return SceneMaps(labels, maps[0], maps[1], whole)


def make_generator(seed: int) -> object:
    return torch.Generator().manual_seed(seed)


def test_a_batch_of_images_has_the_documented_shapes(batch: ComposedBatch) -> None:
    assert batch.frames.shape == (BATCH, SIZE, SIZE, 3) and batch.frames.dtype == torch.uint8
    assert batch.ground_truth.shape == (BATCH, TARGETS, SIZE, SIZE) and batch.ground_truth.dtype == torch.bool
    assert batch.kinds.shape == (BATCH, TARGETS)


def test_the_same_number_gives_the_same_batch(bank: TensorBank, batch: ComposedBatch) -> None:
    again = BatchComposer(bank, SIZE, BATCH, 1, TARGETS, FEW).sample(0)
    assert all(torch.equal(first, second) for first, second in zip(batch, again, strict=True))


@pytest.mark.parametrize(("seed", "index"), [(1, 1), (2, 0)])
def test_another_number_or_seed_gives_another_batch(
    bank: TensorBank, batch: ComposedBatch, seed: int, index: int
) -> None:
    assert not torch.equal(BatchComposer(bank, SIZE, BATCH, seed, TARGETS, FEW).sample(index).frames, batch.frames)


def test_every_target_has_pixels(batch: ComposedBatch) -> None:
    areas = batch.ground_truth.sum((2, 3))
    assert (areas[batch.kinds != NONE] >= 16).all() and (areas[batch.kinds == NONE] == 0).all()


def test_nine_of_ten_images_have_a_target(batch: ComposedBatch) -> None:
    assert (batch.kinds[:, 0] != NONE).float().mean() >= 0.9


def test_the_images_of_a_batch_differ(batch: ComposedBatch) -> None:
    assert len(np.unique(batch.frames.numpy().reshape(BATCH, -1), axis=0)) == BATCH


def test_an_image_of_one_object_has_one_instance(bank: TensorBank) -> None:
    composer = BatchComposer(bank, SIZE, BATCH, 1, 4, ImageSettings(objects=(1, 1), area=(0.05, 0.3)))
    found = composer.sample(0)
    for masks, kinds in zip(found.ground_truth, found.kinds, strict=True):
        instances = masks[kinds == INSTANCE]
        assert all(torch.equal(instances[0], other) for other in instances)


def test_an_object_in_the_middle_has_the_requested_area(bank: TensorBank) -> None:
    composer = BatchComposer(bank, 96, 1, seed=0)
    which = torch.tensor([0])
    growth = 1200 / bank.areas[which]
    pose = torch.eye(2)[None] * growth.sqrt()[:, None, None]
    rgba, _ = composer._place_sprites(which, pose, torch.tensor([[48.0, 48.0]]))
    assert int((rgba[:, 3] >= 128).sum()) == pytest.approx(1200, rel=0.06)  # edges are resampled


def test_the_levels_of_an_atlas_do_not_overlap() -> None:
    taken = np.zeros((SPRITE_SIDE, SPRITE_SIDE * 3 // 2), int)
    for level in range(LEVELS):
        top, left, side = locate_level(level)
        taken[top : top + side, left : left + side] += 1
    assert taken.max() == 1


def test_every_level_shows_the_same_object() -> None:
    atlas, _ = _build_atlas(make_sprite(sprite(1, 150)))
    shares = []
    for level in range(LEVELS):
        top, left, side = locate_level(level)
        shares.append((atlas[top : top + side, left : left + side, 3] >= 128).mean())
    assert max(shares) - min(shares) < 0.03


def test_targets_are_the_objects_of_the_scene() -> None:
    objects = np.zeros((20, 20), int)
    objects[2:10, 2:10], objects[12:18, 12:18] = 1, 2
    found: dict[bytes, int] = {}
    for seed in range(20):
        masks, _ = choose_image_targets(make_scene(objects), 2, make_generator(seed))
        assert not (masks[0, 0] & masks[0, 1]).any()  # no object is chosen twice
        found |= {masks[0, place].numpy().tobytes(): 1 for place in range(2)}
    assert set(found) == {(objects == 1).tobytes(), (objects == 2).tobytes()}


def test_the_only_object_is_repeated_as_target() -> None:
    objects = np.zeros((20, 20), int)
    objects[2:10, 2:10] = 1
    masks, kinds = choose_image_targets(make_scene(objects), 3, make_generator(0))
    assert all(torch.equal(mask, torch.as_tensor(objects == 1)) for mask in masks[0])
    assert kinds.tolist() == [[INSTANCE] * 3]


def test_an_empty_scene_has_no_target() -> None:
    masks, kinds = choose_image_targets(make_scene(np.zeros((20, 20), int)), 2, make_generator(0))
    assert not masks.any() and kinds.tolist() == [[NONE, NONE]]


def test_unions_parts_and_regions_are_chosen_at_times() -> None:
    objects = np.zeros((30, 30), int)
    objects[:, :10], objects[:, 10:20] = 1, 2
    parts = np.where(objects == 1, 256 + 1 + (np.arange(30)[:, None] > 14), 0)
    regions = np.ones((30, 30), int)
    expected = {
        UNION: objects > 0,
        REGION: objects == 0,
    }
    kinds_found = set()
    for seed in range(150):
        masks, kinds = choose_image_targets(make_scene(objects, parts, regions), 1, make_generator(seed))
        kind, mask = int(kinds[0, 0]), masks[0, 0].numpy()
        kinds_found.add(kind)
        assert kind not in expected or np.array_equal(mask, expected[kind])
        assert kind != PART or (mask.sum() == 150 and (objects[mask] == 1).all())
    assert kinds_found == {INSTANCE, UNION, PART, REGION}


@pytest.fixture(scope="module")
def clips(bank: TensorBank) -> ComposedBatch:
    return BatchComposer(bank, SIZE, 6, 1, TARGETS, FEW).sample_clips(0, 4)


def test_a_batch_of_clips_has_the_documented_shapes(clips: ComposedBatch) -> None:
    assert clips.frames.shape == (6, 4, SIZE, SIZE, 3) and clips.frames.dtype == torch.uint8
    assert clips.ground_truth.shape == (6, TARGETS, 4, SIZE, SIZE) and clips.ground_truth.dtype == torch.bool


def test_the_targets_of_a_clip_are_visible_on_its_first_frame(clips: ComposedBatch) -> None:
    areas = clips.ground_truth[:, :, 0].sum((2, 3))
    assert ((areas >= 16) == (clips.kinds != NONE)).all() and (clips.kinds != NONE).any()


def test_frames_of_a_clip_differ_less_than_clips(clips: ComposedBatch) -> None:
    pixels = clips.frames.float()
    within = (pixels[:, 1] - pixels[:, 0]).abs().mean()
    between = (pixels[1:, 0] - pixels[:-1, 0]).abs().mean()
    assert 0 < within < 0.5 * between


def test_a_target_is_the_same_object_on_all_frames() -> None:
    objects = torch.zeros(4, 20, 20, dtype=torch.long)  # two clips of two frames
    objects[0, 2:10, 2:10], objects[1, 4:12, 4:12], objects[2, 5:9, 5:9] = 1, 1, 2
    whole = torch.tensor([[0.0, 64, 16]]).expand(4, -1)
    masks, kinds = choose_clip_targets(SceneMaps(objects, objects * 0, objects * 0, whole), 2, 1, make_generator(0))
    assert torch.equal(masks[0, 0], objects[:2] == 1) and torch.equal(masks[1, 0], objects[2:] == 2)
    assert kinds.tolist() == [[INSTANCE], [INSTANCE]]


def test_a_drift_starts_at_zero_and_stays_there_without_pace() -> None:
    draw = BatchRandom(torch.Generator().manual_seed(1), clips=2, frames=5, device=torch.device("cpu"))
    path = draw.drift(torch.tensor([1.0] * 5 + [0.0] * 5), 2).view(2, 5, 2)
    assert (path[:, 0] == 0).all() and (path[1] == 0).all() and (path[0, 1:].abs() > 0).all()

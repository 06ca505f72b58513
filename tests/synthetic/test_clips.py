"""Composed clips: determinism, motion and exact masks on every frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from masklet.synthetic.engine.actors import RigidSprite, create_actor, sway_sprite, turn_mesh
from masklet.synthetic.engine.asset_bank import AssetBank, load_bank
from masklet.synthetic.engine.clips import ClipComposer, ClipSettings
from masklet.synthetic.engine.motion import (
    Curve,
    sample_camera,
    sample_crossing_paths,
    sample_curve,
    sample_exit_path,
    sample_passing_path,
)
from masklet.synthetic.engine.samples import Clip
from masklet.synthetic.engine.sprites import make_sprite
from masklet.synthetic.rendering.renderer import TexturedMesh
from support.meshes import make_cube
from support.tiny_pack import sprite, tiny_pack

SIZE, FRAMES = 64, 6


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> AssetBank:
    return load_bank(tiny_pack(tmp_path_factory.mktemp("tiny")), views=0)


@pytest.fixture(scope="module")
def model() -> TexturedMesh:
    return TexturedMesh(make_cube(), {})


@pytest.fixture(scope="module")
def composer(bank: AssetBank, model: TexturedMesh) -> ClipComposer:
    return ClipComposer(bank, (model,), SIZE, FRAMES, seed=3)


@pytest.fixture(scope="module")
def clips(composer: ClipComposer) -> list[Clip]:
    return [composer.sample(index) for index in range(16)]


def make_settings(**settings: float) -> ClipSettings:
    """Make settings of clips with one object, in which the other probabilities are 0."""
    quiet = {"meshes": 0.0, "twins": 0.0, "occluder": 0.0, "leaving": 0.0, "motion_blur": 0.0, "reversal": 0.0}
    return ClipSettings(objects=(1, 1), area=(0.05, 0.1), **{**quiet, **settings})


def test_the_same_number_gives_the_same_clip(composer: ClipComposer) -> None:
    first, second = composer.sample(4), composer.sample(4)
    assert np.array_equal(first.frames, second.frames) and np.array_equal(first.masks, second.masks)


def test_another_number_gives_another_clip(composer: ClipComposer) -> None:
    assert not np.array_equal(composer.sample(4).frames, composer.sample(5).frames)


def test_the_first_object_is_visible_on_the_first_frame(clips: list[Clip]) -> None:
    assert all(clip.masks[0, 0].sum() >= 16 for clip in clips)


def test_objects_do_not_overlap(clips: list[Clip]) -> None:
    assert all(clip.masks.sum(1).max() <= 1 for clip in clips)


def test_an_object_is_visible_if_its_mask_has_pixels(clips: list[Clip]) -> None:
    assert all(np.array_equal(clip.visible, clip.masks.any((2, 3))) for clip in clips)


def test_most_clips_have_a_moving_object(clips: list[Clip]) -> None:
    assert np.mean([(clip.masks[0] != clip.masks[-1]).any() for clip in clips]) > 0.7


def test_an_object_that_leaves_returns(bank: AssetBank) -> None:
    composer = ClipComposer(bank, (), SIZE, 12, 1, make_settings(leaving=1.0))
    visible = np.stack([composer.sample(index).visible[:, 0] for index in range(12)], 1)
    returned = visible[0] & ~visible.all(0) & visible[-1]
    assert returned.mean() > 0.5  # the camera follows some of them


def test_twins_have_the_same_appearance_and_swap_sides(bank: AssetBank) -> None:
    composer = ClipComposer(bank, (), SIZE, 2, 1, make_settings(twins=1.0))
    actors = composer._create_actors(np.random.default_rng(0))
    pairs = [(a, b) for a in actors for b in actors if a is not b and a.appearance is b.appearance]
    assert pairs and all(a.style_seed == b.style_seed for a, b in pairs)
    first, second = pairs[0]
    before, after = (first.path.at(time) - second.path.at(time) for time in (0.0, 1.0))
    assert np.dot(before, after) < 0


def test_an_occluder_passes_in_front_of_an_object(bank: AssetBank) -> None:
    composer = ClipComposer(bank, (), SIZE, 9, 1, make_settings(occluder=1.0))
    hidden = 0
    for index in range(8):
        masks = composer.sample(index).masks[:, 0].sum((1, 2))
        hidden += masks[3:6].min() < 0.6 * masks[0]
    assert hidden >= 4


def test_a_frame_with_motion_blur_is_smoother(bank: AssetBank) -> None:
    sharp, soft = (ClipComposer(bank, (), SIZE, 4, 1, make_settings(motion_blur=share)) for share in (0.0, 1.0))
    rough = [
        np.mean([np.abs(np.diff(composer.sample(n).frames.astype(int), axis=2)).mean() for n in range(8)])
        for composer in (soft, sharp)
    ]
    assert rough[0] < rough[1]


def test_a_reversed_clip_has_the_frames_in_reverse_order(bank: AssetBank) -> None:
    forwards, backwards = (ClipComposer(bank, (), SIZE, 5, 2, make_settings(reversal=share)) for share in (0.0, 1.0))
    assert np.array_equal(forwards.sample(0).frames, backwards.sample(0).frames[::-1])


def test_a_rotating_mesh_changes_its_outline(model: TexturedMesh) -> None:
    appearance = turn_mesh(model, np.random.default_rng(1), 64)
    first, last = (appearance.at(time).rgba[..., 3] >= 128 for time in (0.0, 1.0))
    assert (first != last).mean() > 0.01


def test_a_bending_sprite_changes_its_area_by_less_than_half() -> None:
    appearance = sway_sprite(make_sprite(sprite(1, 100)), np.random.default_rng(0))
    areas = [appearance.at(time).area for time in np.linspace(0, 1, 7)]
    assert max(areas) < 1.5 * min(areas) and len(set(areas)) > 1


def test_an_actor_starts_with_the_requested_area() -> None:
    rng = np.random.default_rng(0)
    place = Curve(np.array([[0.5, 0.5], [0.5, 0.5]]))
    actor = replace(
        create_actor(RigidSprite(make_sprite(sprite(1, 100))), rng, 900.0, 128, place), growth=Curve(np.zeros((2, 1)))
    )
    layer = actor.make_layer(0.0, np.array([[1.0, 0, 0], [0, 1, 0]]), 128)
    assert layer is not None and (layer.alpha > 0.5).sum() == pytest.approx(900, rel=0.1)


def test_a_curve_passes_through_its_knots() -> None:
    curve = Curve(np.array([[0.0, 1.0], [2.0, -1.0], [5.0, 3.0]]))
    assert np.allclose(np.stack([curve.at(time) for time in (0, 0.5, 1)]), curve.knots)


def test_a_curve_is_linear_beyond_its_ends() -> None:
    curve = Curve(np.array([[0.0], [1.0]]))
    assert curve.at(1.1)[0] == pytest.approx(1.1) and curve.at(-0.1)[0] == pytest.approx(-0.1)


def test_a_sampled_curve_stays_near_its_start() -> None:
    rng = np.random.default_rng(0)
    ends = np.stack([sample_curve(rng, np.zeros(2), 0.1, knots=30).knots[-1] for _ in range(200)])
    assert ends.std() < 0.25  # without mean reversion it would be 0.54


def test_an_exit_path_is_outside_of_the_image_halfway() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        middle = sample_exit_path(rng).at(0.5)
        assert (middle < 0).any() or (middle > 1).any()


def test_crossing_paths_meet_halfway() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = sample_crossing_paths(rng)
        assert np.linalg.norm(first.at(0.5) - second.at(0.5)) < 0.4
        assert np.linalg.norm(first.at(0.0) - second.at(0.0)) > 0.2


def test_a_passing_path_is_near_its_point_halfway() -> None:
    by = np.array([0.3, 0.6])
    assert np.linalg.norm(sample_passing_path(np.random.default_rng(0), by).at(0.5) - by) < 0.2


def test_a_third_of_the_cameras_are_still() -> None:
    rng = np.random.default_rng(0)
    still = [
        np.allclose(camera.at(0.7, 100), camera.at(0.0, 100)) for camera in (sample_camera(rng) for _ in range(300))
    ]
    assert 0.25 < np.mean(still) < 0.45

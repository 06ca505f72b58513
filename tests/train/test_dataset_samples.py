"""Samples of annotated data: masks fit the views, and broken files are named before training."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.random import default_rng

pytest.importorskip("torch")

from masklet.errors import FormatError, InputNotFound, MaskletError, SettingsError
from masklet.synthetic.engine import views
from masklet.synthetic.engine.views import sample_crop
from masklet.train.batches import Batches, BatchRequest
from masklet.train.clips_from_images import MovingCameraSampler
from masklet.train.dataset_samples import draw_frames
from masklet.train.sources import open_mixture, open_source
from support.train_fakes import DiscImageSampler

HEIGHT, WIDTH = 90, 160


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """A clip of five frames in the layout of DAVIS: a red square moves on a green background."""
    frames, labels = (tmp_path / kind / "480p" / "moving" for kind in ("JPEGImages", "Annotations"))
    listing = tmp_path / "ImageSets" / "2017" / "val.txt"
    for folder in (frames, labels, listing.parent):
        folder.mkdir(parents=True)
    listing.write_text("moving\n")
    for frame in range(5):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[20:60, 30 + 10 * frame : 80 + 10 * frame] = 1
        image = np.full((HEIGHT, WIDTH, 3), (0, 200, 0), np.uint8)
        image[mask == 1] = (0, 0, 250)  # BGR
        cv2.imwrite(str(frames / f"{frame:05d}.jpg"), image)
        cv2.imwrite(str(labels / f"{frame:05d}.png"), mask)
    return tmp_path


def test_objects_and_masks_agree_in_a_view(davis: Path) -> None:
    images = open_source(davis, seed=1).make_image_sampler(64, easy=False)
    for index in range(5):
        sample = images.sample(index)
        red = (sample.image[..., 0] > 128) & (sample.image[..., 1] < 100)
        assert (red == sample.masks[0]).mean() > 0.95


def test_an_index_always_gives_the_same_sample(davis: Path) -> None:
    first, second = (open_source(davis, seed=1).make_image_sampler(64, easy=False).sample(3) for _ in range(2))
    assert np.array_equal(first.image, second.image)


def test_all_frames_of_a_clip_have_the_same_view(davis: Path) -> None:
    clip = open_source(davis, seed=1).make_clip_sampler(64, 3).sample(0)
    assert clip.frames.shape == (3, 64, 64, 3)
    for image, mask in zip(clip.frames, clip.masks[:, 0], strict=True):
        assert ((image[..., 0] > 128) == mask).mean() > 0.95


def test_the_axis_of_objects_precedes_that_of_frames(davis: Path) -> None:
    batches = Batches(open_mixture([str(davis)], 1), 1, 1, clips_per_batch=2, objects_per_clip=3, seed=0)
    batch = batches[BatchRequest(0, 64, range(2), frames=3)]
    assert batch.frames.shape == (2, 3, 64, 64, 3)
    assert batch.ground_truth.shape == (2, 3, 3, 64, 64)


def test_a_broken_file_is_named_before_training(davis: Path) -> None:
    broken = davis / "JPEGImages/480p/moving/00002.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(MaskletError, match=r"00002\.jpg"):
        open_source(davis, seed=1)


def test_missing_data_and_wrong_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="nowhere"):
        open_mixture([str(tmp_path / "nowhere")], 1)
    with pytest.raises(SettingsError, match="--data"):
        open_mixture([], 1)
    with pytest.raises(SettingsError, match="weight after ="):
        open_mixture([f"{tmp_path}=much"], 1)
    with pytest.raises(FormatError):
        open_source(tmp_path, 1)


def test_drawn_frames_are_evenly_spaced() -> None:
    annotated = list(range(0, 40, 4))
    for seed in range(50):
        frames = draw_frames(annotated, 4, default_rng(seed))
        assert frames is not None
        assert len(frames) == 4
        assert len({b - a for a, b in pairwise(frames)}) == 1
    assert draw_frames(annotated, 11, default_rng(0)) is None


def test_views_contain_the_object_and_many_are_close_ups() -> None:
    mask = np.zeros((300, 400), bool)
    mask[200:210, 300:320] = True
    shares, whole = [], 0
    for seed in range(300):
        view = sample_crop(mask, default_rng(seed))
        seen = mask[view.top : view.bottom, view.left : view.right]
        assert seen.any()
        assert 0 <= view.left < view.right <= 400
        assert 0 <= view.top < view.bottom <= 300
        shares.append(seen.mean())
        whole += view == (0, 0, 400, 300)
    assert 0.1 < whole / 300 < 0.3
    assert 0.4 < np.mean(np.array(shares) > 0.02) < 0.7


def test_a_view_with_extreme_proportions_contains_its_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "ASPECT_SPREAD", 1.0)
    mask = np.zeros((1000, 1000), bool)
    mask[500:520, 500:520] = True
    for seed in range(200):
        assert sample_crop(mask, default_rng(seed)).cut(mask).any()


def test_a_moving_camera_moves_image_and_masks_alike() -> None:
    still = DiscImageSampler(64)
    clip = MovingCameraSampler(still, frames=4, seed=1).sample(2)
    assert np.array_equal(clip.frames[0], still.sample(2).image)
    assert not np.array_equal(clip.frames[0], clip.frames[3])
    for image, mask in zip(clip.frames, clip.masks[:, 0], strict=True):
        red = (image[..., 0] > 128) & (image[..., 1] < 140)
        assert (red == mask).mean() > 0.97


def test_clips_of_data_without_clips_are_made_of_images(tmp_path: Path) -> None:
    """Sources that have only images make clips of them even when `clips_from_images` is 0."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    image = np.full((96, 96, 3), 90, np.uint8)
    image[30:70, 20:60] = 220
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), (image[..., 0] > 128).astype(np.uint8) * 255)
    batches = Batches(
        open_mixture([str(tmp_path)], 1), 1, 1, clips_per_batch=2, objects_per_clip=1, seed=0, clips_from_images=0.0
    )
    batch = batches[BatchRequest(0, 64, range(2), frames=3)]
    assert batch.frames.shape == (2, 3, 64, 64, 3)
    assert batch.ground_truth[:, 0, 0].any()

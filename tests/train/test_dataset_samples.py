"""Views of annotated data: objects stay where they are seen, and broken files are named before training."""

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
from masklet.synthetic.engine.views import random_view
from masklet.train.batches import Batches, Request
from masklet.train.clips_from_images import StillClips
from masklet.train.dataset_samples import stretch
from masklet.train.sources import open_mixture, open_source
from support.train_fakes import DiscPictures

HEIGHT, WIDTH = 90, 160


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """A clip of five frames in DAVIS's folders: a red square that moves on green ground."""
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


def test_a_view_shows_objects_where_their_masks_are(davis: Path) -> None:
    pictures = open_source(davis, seed=1).pictures(64, easy=False)
    for index in range(5):
        sample = pictures.sample(index)
        red = (sample.image[..., 0] > 128) & (sample.image[..., 1] < 100)
        assert (red == sample.masks[0]).mean() > 0.95


def test_a_sample_is_the_same_for_ever(davis: Path) -> None:
    first, again = (open_source(davis, seed=1).pictures(64, easy=False).sample(3) for _ in range(2))
    assert np.array_equal(first.image, again.image)


def test_clips_are_seen_through_one_view(davis: Path) -> None:
    clip = open_source(davis, seed=1).clips(64, 3).sample(0)
    assert clip.frames.shape == (3, 64, 64, 3)
    for image, mask in zip(clip.frames, clip.masks[:, 0], strict=True):
        assert ((image[..., 0] > 128) == mask).mean() > 0.95


def test_batches_of_clips_hold_objects_before_frames(davis: Path) -> None:
    batches = Batches(open_mixture([str(davis)], 1), 1, 1, clips=2, clip_objects=3, seed=0)
    batch = batches[Request(0, 64, range(2), frames=3)]
    assert batch.frames.shape == (2, 3, 64, 64, 3)
    assert batch.truth.shape == (2, 3, 3, 64, 64)


def test_a_broken_file_is_named_before_training(davis: Path) -> None:
    broken = davis / "JPEGImages/480p/moving/00002.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(MaskletError, match=r"00002\.jpg"):
        open_source(davis, seed=1)


def test_data_that_is_not_there_or_not_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="nowhere"):
        open_mixture([str(tmp_path / "nowhere")], 1)
    with pytest.raises(SettingsError, match="--data"):
        open_mixture([], 1)
    with pytest.raises(SettingsError, match="weight after ="):
        open_mixture([f"{tmp_path}=much"], 1)
    with pytest.raises(FormatError):
        open_source(tmp_path, 1)


def test_stretches_are_evenly_spaced_and_as_long_as_asked() -> None:
    annotated = list(range(0, 40, 4))
    for seed in range(50):
        frames = stretch(annotated, 4, default_rng(seed))
        assert frames is not None
        assert len(frames) == 4
        assert len({b - a for a, b in pairwise(frames)}) == 1
    assert stretch(annotated, 11, default_rng(0)) is None


def test_views_hold_the_object_and_a_good_share_of_them_is_filled_by_it() -> None:
    mask = np.zeros((300, 400), bool)
    mask[200:210, 300:320] = True
    shares, whole = [], 0
    for seed in range(300):
        view = random_view(mask, default_rng(seed))
        seen = mask[view.top : view.bottom, view.left : view.right]
        assert seen.any()
        assert 0 <= view.left < view.right <= 400
        assert 0 <= view.top < view.bottom <= 300
        shares.append(seen.mean())
        whole += view == (0, 0, 400, 300)
    assert 0.1 < whole / 300 < 0.3
    assert 0.4 < np.mean(np.array(shares) > 0.02) < 0.7


def test_a_view_holds_its_object_however_stretched_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "STRETCHED", 1.0)
    mask = np.zeros((1000, 1000), bool)
    mask[500:520, 500:520] = True
    for seed in range(200):
        assert random_view(mask, default_rng(seed)).cut(mask).any()


def test_a_still_picture_moves_with_its_masks() -> None:
    still = DiscPictures(64)
    clip = StillClips(still, frames=4, seed=1).sample(2)
    assert np.array_equal(clip.frames[0], still.sample(2).image)
    assert not np.array_equal(clip.frames[0], clip.frames[3])
    for image, mask in zip(clip.frames, clip.masks[:, 0], strict=True):
        red = (image[..., 0] > 128) & (image[..., 1] < 140)
        assert (red == mask).mean() > 0.97


def test_data_without_clips_is_filmed_by_a_camera(tmp_path: Path) -> None:
    """Half of the sources have pictures only, and no clip is to be made of stills: those make them all the same."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    picture = np.full((96, 96, 3), 90, np.uint8)
    picture[30:70, 20:60] = 220
    cv2.imwrite(str(tmp_path / "images" / "a.png"), picture)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), (picture[..., 0] > 128).astype(np.uint8) * 255)
    batches = Batches(open_mixture([str(tmp_path)], 1), 1, 1, clips=2, clip_objects=1, seed=0, stills=0.0)
    batch = batches[Request(0, 64, range(2), frames=3)]
    assert batch.frames.shape == (2, 3, 64, 64, 3)
    assert batch.truth[:, 0, 0].any()

"""Batches are divided between the engine on the training device and labelled data, the same for the same step."""

from __future__ import annotations

import pytest

from support.tiny_pack import tiny_pack

torch = pytest.importorskip("torch")

from masklet.errors import SettingsError  # noqa: E402
from masklet.synthetic.engine.asset_bank import load_bank  # noqa: E402
from masklet.train.batches import Batch, Batches, Request  # noqa: E402
from masklet.train.device_compositor import Compositor  # noqa: E402
from masklet.train.settings import Settings  # noqa: E402
from masklet.train.sources import Engine, Mixture  # noqa: E402
from support.train_fakes import Discs, discs  # noqa: E402

SETTINGS = Settings(pictures=6, objects=2, clips=6, clip_objects=2, seed=3, compose_on_device=True)
REQUEST = Request(step=5, size=64, rows=range(6))


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    bank = load_bank(tiny_pack(tmp_path_factory.mktemp("tiny")), views=2)
    return Mixture((Engine(bank, tuple, seed=1), Discs()), (0.5, 0.5))


@pytest.fixture(scope="module")
def compositor(mixture: Mixture) -> Compositor:
    return Compositor(mixture, SETTINGS, torch.device("cpu"))


def batch(compositor: Compositor, request: Request) -> Batch:
    read = Batches(compositor.mixture.labelled, 6, 2, 6, 2, seed=3)
    return compositor.completed(read[compositor.labelled(request)], request)


def test_a_part_of_the_rows_is_read_and_the_rest_composed(compositor: Compositor) -> None:
    assert 0 < len(compositor.labelled(REQUEST).rows) < 6
    whole = batch(compositor, REQUEST)
    assert whole.frames.shape == (6, 64, 64, 3) and whole.frames.dtype == torch.uint8
    assert whole.truth.shape == (6, 2, 64, 64) and whole.truth.dtype == torch.bool


def test_clips_are_composed_too(compositor: Compositor) -> None:
    whole = batch(compositor, REQUEST._replace(frames=3))
    assert whole.frames.shape == (6, 3, 64, 64, 3) and whole.truth.shape == (6, 2, 3, 64, 64)


def test_the_same_step_gives_the_same_batch(compositor: Compositor) -> None:
    first, again, other = (batch(compositor, REQUEST._replace(step=step)) for step in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.frames, other.frames)


def test_all_rows_may_be_composed(mixture: Mixture) -> None:
    alone = Compositor(Mixture(mixture.sources[:1], (1.0,)), SETTINGS, torch.device("cpu"))
    assert alone.labelled(REQUEST).rows == []
    assert batch(alone, REQUEST).frames.shape == (6, 64, 64, 3)


def test_without_a_pack_there_is_nothing_to_compose() -> None:
    with pytest.raises(SettingsError, match="needs a pack"):
        Compositor(discs(), SETTINGS, torch.device("cpu"))

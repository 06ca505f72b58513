"""Composition on the training device: batches are split between synthetic and read rows, the same for a step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from support.tiny_pack import tiny_pack

torch = pytest.importorskip("torch")

from masklet.errors import SettingsError  # noqa: E402
from masklet.synthetic.engine.asset_bank import load_bank  # noqa: E402
from masklet.synthetic.engine.tensor_bank import build_tensor_bank  # noqa: E402
from masklet.train import device_compositor  # noqa: E402
from masklet.train.batches import Batch, Batches, BatchRequest  # noqa: E402
from masklet.train.device_compositor import DeviceCompositor  # noqa: E402
from masklet.train.settings import Settings  # noqa: E402
from masklet.train.sources import Mixture, SyntheticSource  # noqa: E402
from support.train_fakes import DiscSource, disc_mixture  # noqa: E402

SETTINGS = Settings(
    images_per_batch=6, objects_per_image=2, clips_per_batch=6, objects_per_clip=2, seed=3, compose_on_device=True
)
REQUEST = BatchRequest(step=5, size=64, rows=range(6))


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    bank = load_bank(tiny_pack(tmp_path_factory.mktemp("tiny")), views=2)
    return Mixture((SyntheticSource(bank, tuple, seed=1), DiscSource()), (0.5, 0.5))


@pytest.fixture(scope="module")
def compositor(mixture: Mixture) -> Iterator[DeviceCompositor]:
    """A compositor whose bank has few shapes and canvases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_compositor, "build_tensor_bank", partial(build_tensor_bank, shapes=16, canvases=16))
        yield DeviceCompositor(mixture, SETTINGS, torch.device("cpu"))


def make_batch(compositor: DeviceCompositor, request: BatchRequest) -> Batch:
    read = Batches(compositor.mixture.without_composed, 6, 2, 6, 2, seed=3)
    return compositor.complete_batch(read[compositor.select_read_rows(request)], request)


def test_some_rows_are_read_and_the_others_composed(compositor: DeviceCompositor) -> None:
    assert 0 < len(compositor.select_read_rows(REQUEST).rows) < 6
    batch = make_batch(compositor, REQUEST)
    assert batch.frames.shape == (6, 64, 64, 3) and batch.frames.dtype == torch.uint8
    assert batch.ground_truth.shape == (6, 2, 64, 64) and batch.ground_truth.dtype == torch.bool


def test_clips_are_composed(compositor: DeviceCompositor) -> None:
    batch = make_batch(compositor, REQUEST._replace(frames=3))
    assert batch.frames.shape == (6, 3, 64, 64, 3) and batch.ground_truth.shape == (6, 2, 3, 64, 64)


def test_the_same_step_gives_the_same_batch(compositor: DeviceCompositor) -> None:
    first, repeated, other = (make_batch(compositor, REQUEST._replace(step=step)) for step in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(first, repeated, strict=True))
    assert not torch.equal(first.frames, other.frames)


def test_all_rows_may_be_composed(compositor: DeviceCompositor) -> None:
    sources = compositor.mixture.sources[:1]
    synthetic_only = DeviceCompositor(Mixture(sources, (1.0,)), SETTINGS, torch.device("cpu"), compositor.banks)
    assert synthetic_only.select_read_rows(REQUEST).rows == []
    assert make_batch(synthetic_only, REQUEST).frames.shape == (6, 64, 64, 3)


def test_composition_without_a_pack_is_refused() -> None:
    with pytest.raises(SettingsError, match="needs a pack"):
        DeviceCompositor(disc_mixture(), SETTINGS, torch.device("cpu"))

"""Batches: requests of several clients are decoded in one call of the backend, with the masks that each has alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import masklet
from masklet.backend import Decoded, Features, Query
from masklet.errors import BackendError, MaskletError
from masklet.predict.batch_prediction import PredictionRequest, predict_batch
from masklet.prompts import box, click
from masklet.segmenter import Segmenter
from masklet.serve.limits import Limits
from masklet.serve.service import Service
from support.api_server import BOX, IMAGE, OTHER_BOX, encode_png, fill
from support.gray_world import GrayWorld


@dataclass
class GatedBackend(GrayWorld):
    """Counts the queries of each call of the decoder, which waits while the gate is closed."""

    calls: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        if not isinstance(features.stride4, list):  # else the parts of a call follow
            self.calls.append(len(queries))
            assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return super().decode(features, queries, hide=hide)


def run(backend: Any, work: Callable[[Service], Coroutine[Any, Any, Any]], limits: Limits | None = None) -> Any:
    """Run a coroutine with a service."""

    async def serve() -> Any:
        service = Service(lambda: Segmenter(backend), limits)
        service.start()
        while not service.is_ready:
            await asyncio.sleep(0.001)
        try:
            return await asyncio.wait_for(work(service), 60)
        finally:
            await service.stop()

    return asyncio.run(serve())


def images(count: int) -> list[bytes]:
    """Files of images that differ by a corner."""
    made = []
    for number in range(count):
        image = IMAGE.copy()
        image[0, 0] = number + 1
        made.append(encode_png(image))
    return made


@pytest.mark.parametrize("same_image", [True, False])
def test_8_clients_that_click_on_ready_embeddings_take_one_call(same_image: bool) -> None:
    backend, sizes = GatedBackend(), list[int]()

    async def click_at_once(service: Service) -> None:
        service.predictions._on_batch = sizes.append
        files = images(1) * 8 if same_image else images(8)
        found = [await service.read_image(content) for content in files]
        for image in found:
            await service.embed(image)
        assert backend.encoded == (1 if same_image else 8)
        # the first request keeps the thread busy, while the others arrive
        first = asyncio.create_task(service.predict(found[0], click(15, 10)))
        while not sizes:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(service.predict(image, click(40, 10))) for image in found]
        while len(service.predictions._waiting) < 8:
            await asyncio.sleep(0.001)
        backend.gate.set()
        assert ((await first).binary[0] == fill(BOX)).all()
        for masks in await asyncio.gather(*others):
            assert (masks.binary[0] == fill(OTHER_BOX)).all() and len(masks) == 1
        assert service.embedding_misses == 0 and service.embedding_hits == 9

    run(backend, click_at_once)
    assert sizes == [1, 8] and backend.encoded == (1 if same_image else 8)
    assert same_image is False or backend.calls == [1, 8]  # the fake one decodes images of a call one by one


def test_a_batch_has_a_limit_and_each_request_its_own_objects() -> None:
    backend, sizes = GatedBackend(), list[int]()

    async def click_at_once(service: Service) -> None:
        service.predictions._on_batch = sizes.append
        image = await service.read_image(encode_png())
        prompts = [{3: click(15, 10), 1: box(*OTHER_BOX)}, {2: box(*BOX)}, {1: click(40, 10)}]
        first = asyncio.create_task(service.predict(image, click(15, 10)))
        while not sizes:
            await asyncio.sleep(0.001)
        tasks = [asyncio.create_task(service.predict(image, one, multimask=len(one) == 1)) for one in prompts]
        while len(service.predictions._waiting) < 3:
            await asyncio.sleep(0.001)
        backend.gate.set()
        assert len(await first) == 1
        found = [(masks.object_ids, masks.areas[0]) for masks in await asyncio.gather(*tasks)]
        areas = int(fill(BOX).sum()), int(fill(OTHER_BOX).sum())
        assert found == [((3, 1), areas[0]), ((2, 2, 2), areas[0]), ((1, 1, 1), areas[1])]

    run(backend, click_at_once, Limits(batch=2))
    assert sizes == [1, 2, 1]


def test_an_error_of_the_model_reaches_each_client_of_its_batch_and_no_other() -> None:
    backend = GatedBackend()

    async def click_twice(service: Service) -> None:
        image = await service.read_image(encode_png())
        backend.gate.set()
        backend.error = BackendError("non-finite-output", "the network returned NaN")
        for result in await asyncio.gather(
            *(service.predict(image, click(15, 10)) for _ in range(3)), return_exceptions=True
        ):
            assert isinstance(result, MaskletError) and result.code == "non-finite-output"
        backend.error = None
        assert len(await service.predict(image, click(15, 10))) == 1

    run(backend, click_twice)


@pytest.mark.parametrize(
    ("runtime", "zoom"),
    [("onnx", 0), pytest.param("onnx", 2, marks=pytest.mark.slow), pytest.param("torch", 0, marks=pytest.mark.slow)],
)
def test_a_batch_has_the_masks_that_each_request_has_alone(runtime: str, zoom: float) -> None:
    pytest.importorskip("torch" if runtime == "torch" else "onnxruntime")
    model = masklet.load(runtime=runtime, device="cpu", zoom=zoom)
    generator = np.random.default_rng(1)
    arrays = [generator.integers(0, 255, size, np.uint8) for size in [(60, 80, 3), (90, 50, 3)]]
    embedded = model.embed(arrays)
    first = embedded[0].predict(click(20, 20))
    requests = [
        PredictionRequest(embedded[0], {1: click(30, 30)}),
        PredictionRequest(embedded[1], {1: click(10, 70) + click(1, 1, positive=False), 5: box(5, 5, 30, 40)}, False),
        PredictionRequest(embedded[0], {2: click(20, 30)}, None, first),
        PredictionRequest(embedded[1], {1: click(49, 0)}, True),
        PredictionRequest(embedded[1], {1: click(490, 0)}),
    ]
    calls = []
    decode = type(model.backend).decode

    def count(self: Any, features: Any, queries: Any, **options: Any) -> Any:
        calls.append(len(queries))
        return decode(self, features, queries, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model.backend), "decode", count)
        alone = [one.image.predict(one.prompts, multimask=one.multimask, refine=one.refine) for one in requests[:4]]
        calls_alone = len(calls)
        calls.clear()
        together = predict_batch(model.backend, requests)
    assert calls[0] == 5 and (len(calls) == 1 if zoom == 0 else 2 * len(calls) <= calls_alone), (calls, calls_alone)
    assert isinstance(together[4], MaskletError) and together[4].code == "bad-prompt"
    for one, other in zip(alone, together[:4], strict=True):
        assert isinstance(other, masklet.Masks)
        assert one.object_ids == other.object_ids and one.crops == other.crops
        np.testing.assert_allclose(one.low_res, other.low_res, atol=2e-3)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)

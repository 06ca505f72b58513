"""Batches of predictions: requests that wait at the same time are decoded in one call of the backend."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Lock
from typing import NamedTuple

from masklet.errors import MaskletError, StateError
from masklet.http.engine import Job, Priority
from masklet.http.problems import log_bug
from masklet.masks.masks import Masks
from masklet.predict.batch_prediction import PredictionRequest, predict_batch
from masklet.prompts import Prompt
from masklet.segmenter import Segmenter
from masklet.serve.embedding_cache import EmbeddingCache
from masklet.serve.image_store import ServedImage
from masklet.serve.model_thread import ModelThread


class _Waiting(NamedTuple):
    """A request that waits, and where its result goes."""

    image: ServedImage
    prompts: Mapping[int, Prompt]
    multimask: bool | None
    refine: Masks | None
    future: Future[Masks]


class PredictionBatches:
    """Requests for predictions, which the thread of the model takes in batches.

    While a batch is computed, further requests wait. They are the next batch.

    Args:
        thread: The thread of the model.
        max_size: Most requests of a batch.
        on_batch: Called with the number of requests of each batch, in the thread.

    Attributes:
        embeddings: The embeddings, once the model is loaded.
    """

    def __init__(self, thread: ModelThread, max_size: int, on_batch: Callable[[int], object]) -> None:
        self._thread, self._max_size, self._on_batch = thread, max_size, on_batch
        self._waiting: deque[_Waiting] = deque()
        self._lock, self._is_queued = Lock(), False
        self.embeddings: EmbeddingCache | None = None

    async def predict(
        self, image: ServedImage, prompts: Mapping[int, Prompt], multimask: bool | None, refine: Masks | None
    ) -> Masks:
        """Predict masks in the next batch. See `EmbeddedImage.predict`."""
        future: Future[Masks] = Future()
        with self._lock:
            self._waiting.append(_Waiting(image, prompts, multimask, refine, future))
        self._queue()
        return await asyncio.wrap_future(future)

    def _queue(self) -> None:
        """Queue the next batch, unless one is queued or nothing waits."""
        with self._lock:
            if self._is_queued or not self._waiting:
                return
            self._is_queued = True
        self._thread.engine.submit(Priority.PREDICTION, self._run, on_end=self._end)

    def _run(self, model: Segmenter) -> None:
        """Compute the next batch."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_size))]
        batch = [one for one in batch if one.future.set_running_or_notify_cancel()]
        if not batch:
            return
        self._on_batch(len(batch))
        assert self.embeddings is not None, "requests are admitted once the model is loaded"
        try:
            opened = [self.embeddings.open(one.image) for one in batch]
            requests = [PredictionRequest(image, *one[1:4]) for image, one in zip(opened, batch, strict=True)]
            results = predict_batch(model.backend, requests)
        except Exception as error:  # noqa: BLE001 - it is the result of each
            results = [error] * len(batch)
        for one, result in zip(batch, results, strict=True):
            if isinstance(result, Masks):
                one.future.set_result(result)
            else:
                one.future.set_exception(result if isinstance(result, MaskletError) else log_bug(result))

    def _end(self, job: Job[Segmenter]) -> None:
        """Queue the next batch; if the thread has ended, refuse what waits."""
        with self._lock:
            self._is_queued = False
            refused = [] if job.is_complete else [*self._waiting]
            if refused:
                self._waiting.clear()
        for one in refused:
            if one.future.set_running_or_notify_cancel():
                one.future.set_exception(job.error or StateError("overloaded", "the server stops; repeat it later"))
        self._queue()

"""Service: what `masklet serve` computes, without HTTP. All protocols use it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, TypeVar

import masklet
from masklet.errors import InputNotFound, MaskletError, PromptError, StateError, VideoError
from masklet.files.error_translation import translate_write_errors
from masklet.files.open_input import open_input
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.predict.generated_masks import GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_in_steps
from masklet.prompts import Prompts, group_by_object
from masklet.segmenter import Segmenter
from masklet.serve.batching import PredictionBatches
from masklet.serve.embedding_cache import EmbeddingCache
from masklet.serve.image_store import ImageStore, ServedImage, decode_base64
from masklet.serve.limits import Limits
from masklet.serve.model_thread import ModelThread
from masklet.serve.sessions import Sessions
from masklet.serve.sources import Sources
from masklet.tracking.schedule import PromptsByFrame
from masklet.tracking.traversal import Direction
from masklet.video import Video, VideoOptions, open_video

R = TypeVar("R")
_MAX_THREADS = 8  # that decode and encode images beside the model
_IDLE_CHECK_S = 5.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model of a server.

    Attributes:
        name: Name of the architecture, such as `nano` or `sam2.1-small`.
        identity: Hash of the weights.
        runtime: `torch` or `onnx`.
        device: Device that it runs on.
        dtype: Number format.
        input_size: Side of the network's square in pixels.
        zoom: Side of a crop divided by the size of its object; 0 without crops.
        version: Version of masklet.
    """

    name: str
    identity: str
    runtime: str
    device: str
    dtype: str
    input_size: int
    zoom: float
    version: str

    @staticmethod
    def of(model: Segmenter) -> ModelInfo:
        """Describe a model."""
        backend = model.backend
        return ModelInfo(
            name=backend.config.name,
            identity=backend.identity,
            runtime=backend.runtime,
            device=str(backend.device),
            dtype=str(backend.dtype).removeprefix("torch."),
            input_size=backend.input_size,
            zoom=model.zoom,
            version=masklet.__version__,
        )


class Service:
    """One model and what clients do with it. The coroutines run on the server's event loop.

    Args:
        load: Loads the model, in a thread of its own.
        limits: Limits of requests and memory.
        sources: Paths and addresses that clients may name.
        on_batch: Called with the number of predictions of each batch, in the thread of the model.

    Attributes:
        limits: The limits.
        images: The images that clients may refer to by key.
        sessions: The video sessions.
        thread: The thread of the model.
        embedding_hits: Number of predictions whose image was encoded before.
        embedding_misses: Number of those whose image was not.
        upload_folder: Private folder for the bodies of requests, which is removed at the end.
    """

    def __init__(
        self,
        load: Callable[[], Segmenter],
        limits: Limits | None = None,
        sources: Sources | None = None,
        on_batch: Callable[[int], object] = lambda count: None,
    ) -> None:
        self.limits, self._sources = limits or Limits(), sources or Sources()
        self.images = ImageStore(self.limits.image_bytes, self.limits.pixels)
        self.thread = ModelThread(load, self.limits.waiting, self._prepare)
        self.sessions = Sessions(self.thread, self.limits)
        self.embeddings: EmbeddingCache | None = None
        self.predictions = PredictionBatches(self.thread, self.limits.batch, on_batch)
        self._folder = TemporaryDirectory(prefix="masklet-serve-")
        self.upload_folder = Path(self._folder.name)
        self._pool = ThreadPoolExecutor(min(_MAX_THREADS, (os.cpu_count() or 1) + 1), "masklet-serve")
        self.embedding_hits = self.embedding_misses = 0
        self._tracks = 0
        self._closing_idle: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the model is loaded and new requests are served."""
        return self.embeddings is not None and not self.thread.is_stopping

    @property
    def model_info(self) -> ModelInfo:
        """The model. Raises `StateError` (`overloaded`) while it is loaded."""
        return ModelInfo.of(self._require_model())

    def start(self) -> None:
        """Load the model, and begin to end idle sessions. It is called on the event loop."""
        self.thread.start()
        self._closing_idle = asyncio.get_running_loop().create_task(self._close_idle_sessions())

    async def stop(self) -> None:
        """Refuse new requests, wait for those that run up to the limit `drain_s`, and end the threads."""
        if self._closing_idle is not None:
            self._closing_idle.cancel()
        await self.thread.drain(self.limits.drain_s)
        self.sessions.close()
        await asyncio.to_thread(self.thread.stop)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._folder.cleanup()

    async def run_in_thread(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function in one of a few threads: decoding, encoding, reading of files."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *arguments))

    async def read_image(self, data: bytes | str) -> ServedImage:
        """Decode an image and keep it for later requests. See `ImageStore.decode`.

        Args:
            data: The bytes of a file; or base64 or a `data:` URL as text.

        Raises:
            ImageError: `unsupported-format`, `too-many-pixels`, `image-broken`, `bad-image`, …
            InputNotFound: `input-empty`.
        """
        return await self.run_in_thread(self.images.decode, data)

    def find_image(self, key: str) -> ServedImage:
        """Return an image that was sent before. Raises `InputNotFound` (`input-not-found`)."""
        return self.images.find(key)

    async def fetch(self, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> bytes:
        """Download an address that the operator allowed, within the limit of an upload. See `Sources.fetch`."""
        return await self.run_in_thread(self._sources.fetch, url, self.limits.upload_bytes, headers, body)

    async def download(self, url: str) -> Path:
        """Download an allowed address to a new file in `upload_folder`, which the caller removes. See `fetch`."""
        content = await self.fetch(url)

        def write() -> Path:
            with (
                NamedTemporaryFile(dir=self.upload_folder, delete=False) as file,
                translate_write_errors(self.upload_folder),
            ):
                file.write(content)
            return Path(file.name)

        return await self.run_in_thread(write)

    async def read_path(self, name: str) -> bytes:
        """Return the content of a file below `--root`. Raises `InputNotFound`; see `Sources.find`."""
        return await self.run_in_thread(lambda: _read_named(self._sources.find(name), name, self.limits.upload_bytes))

    async def embed(self, image: ServedImage) -> None:
        """Encode an image, so that later prompts are only decoded. Nothing happens if that is done.

        Raises:
            StateError: `overloaded`.
        """
        with self.thread.admit():
            await self._embed(image)

    async def predict(
        self,
        image: ServedImage | str,
        prompts: Prompts,
        *,
        multimask: bool | None = None,
        refine: Masks | None = None,
    ) -> Masks:
        """Predict masks of prompted objects. Requests that wait at the same time are decoded in one call.

        Args:
            image: The image, or its key.
            prompts: A prompt, a list of prompts of objects 1, 2, …, or `{object_id: prompt}`, in pixels (x, y).
            multimask: See `EmbeddedImage.predict`; True gives three masks of each object.
            refine: See `EmbeddedImage.predict`.

        Returns:
            Masks at the image's size, N or 3 N, with predicted IoUs as scores. `binary`, `to_rle` and `to_polygons`
            take CPU time: call them by `run_in_thread`.

        Raises:
            PromptError: A prompt does not fit the image, or there are more objects than the limit.
            InputNotFound: There is no image with this key.
            StateError: `overloaded`.
        """
        served = self.find_image(image) if isinstance(image, str) else image
        by_object = group_by_object(prompts)
        self._check_objects(len(by_object))
        for prompt in by_object.values():
            prompt.check_fits(served.size)
        with self.thread.admit():
            if self._require_embeddings().is_ready(served):
                self.embedding_hits += 1
            else:
                self.embedding_misses += 1
                await self._embed(served)
            return await self.predictions.predict(served, by_object, multimask, refine)

    async def generate(self, image: ServedImage | str, options: MaskGeneratorOptions | None = None) -> GeneratedMasks:
        """Segment an image without prompts. Other requests are computed between the batches of points.

        Raises:
            InputNotFound: There is no image with this key.
            StateError: `overloaded`.
        """
        pixels = (self.find_image(image) if isinstance(image, str) else image).pixels
        with self.thread.admit():
            return await self.thread.complete(lambda model: generate_in_steps(model.backend, pixels, options))

    async def open_frames(self, frames: Sequence[bytes | str]) -> Video:
        """Open images that clients send as a video: files as bytes or base64. The caller closes it.

        Raises:
            ImageError: A frame is not an image.
            VideoError: `video-no-frames`, or there are more frames than the limit.
        """
        if len(frames) > self.limits.frames:
            message = f"a video of images has at most {self.limits.frames} frames, got {len(frames)}; send a video file"
            raise VideoError("too-many-pixels", message)
        return await self.run_in_thread(_open_images, frames, self._video_options)

    async def open_path(self, name: str) -> Video:
        """Open a video or a folder of images below `--root`. The caller closes it.

        Raises:
            InputNotFound: See `Sources.find`.
            VideoError: The file is not a video.
        """
        return await self.run_in_thread(lambda: _open_named(self._sources.find(name), name, self._video_options))

    async def open_upload(self, path: Path) -> Video:
        """Open a video file that the server wrote, from the body of a request. The caller closes it."""
        return await self.run_in_thread(_open_named, path, "the video", self._video_options)

    async def track(
        self,
        video: Video,
        prompts: Prompts | PromptsByFrame,
        *,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "forward",
    ) -> AsyncGenerator[TrackedFrame, None]:
        """Track prompted objects through a video, once and without a session. The caller closes the video.

        Use `contextlib.aclosing` if the loop may end early.

        Args:
            video: The video.
            prompts: See `Segmenter.track`: `{frame: {object_id: prompt}}`, or prompts of frame `start`.
            start: First frame of the range; by default 0.
            stop: End of the range, as in `range(start, stop)`; by default the end of the video.
            direction: "forward" from the first prompted frame, "backward" from the last one, or "both".

        Raises:
            PromptError: A prompt does not fit the frames, or a prompted frame is outside the range.
            SettingsError: The direction is unknown, or the range has no frames.
            StateError: `overloaded`. As many videos are tracked as the limit allows.
        """
        if self._tracks >= self.limits.sessions:
            raise StateError("overloaded", f"{self._tracks} videos are tracked; repeat the request later")

        def run(model: Segmenter) -> Any:
            return model.track(video, prompts, direction=direction, start=start, stop=stop)

        self._tracks += 1
        try:
            with self.thread.admit():
                async with aclosing(self.thread.iterate(run)) as frames:
                    async for frame in frames:
                        yield frame
        finally:
            self._tracks -= 1

    @property
    def _video_options(self) -> VideoOptions:
        return VideoOptions(max_pixels=self.limits.pixels)

    async def _embed(self, image: ServedImage) -> None:
        embeddings = self._require_embeddings()
        await self.thread.call(lambda model: embeddings.encode(image))

    def _check_objects(self, count: int) -> None:
        if count > self.limits.objects:
            message = f"a request prompts at most {self.limits.objects} objects, got {count}; send several requests"
            raise PromptError("bad-prompt", message)

    def _prepare(self, model: Segmenter) -> None:
        self.embeddings = self.predictions.embeddings = EmbeddingCache(model, self.limits.feature_bytes)

    def _require_embeddings(self) -> EmbeddingCache:
        self._require_model()
        assert self.embeddings is not None
        return self.embeddings

    def _require_model(self) -> Segmenter:
        if self.thread.failure is not None:
            raise self.thread.failure
        if self.thread.model is None or self.embeddings is None:
            raise StateError("overloaded", "the model is being loaded; repeat the request later")
        return self.thread.model

    async def _close_idle_sessions(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_CHECK_S)
            self.sessions.close_idle()


def _open_images(frames: Sequence[bytes | str], options: VideoOptions) -> Video:
    return open_video([decode_base64(one) if isinstance(one, str) else one for one in frames], options)


def _open_named(path: Path, name: str, options: VideoOptions) -> Video:
    with _hide_path(path, name):
        video: Video = open_video(path, options)
        return video


def _read_named(path: Path, name: str, max_bytes: int) -> bytes:
    """Read a file. Raises `InputNotFound`, also for a folder and for a file that is too large."""
    with _hide_path(path, name), open_input(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise InputNotFound("input-unreadable", f"{name} has more than {max_bytes} bytes")
    return content


@contextmanager
def _hide_path(path: Path, name: str) -> Iterator[None]:
    """Replace a path of this machine in messages of errors by the name that the client knows."""
    try:
        yield
    except MaskletError as error:
        message, hint = (text.replace(str(path), name) for text in (error.message, error.hint))
        raise type(error)(error.code, message, hint=hint) from None

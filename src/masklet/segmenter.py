"""What `masklet.load` gives: a model that segments pictures and follows objects through video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from masklet.backend import NO_PROMPT, Backend, Recall, describe
from masklet.config import EMBEDDED_MODEL, ModelConfig, ModelDefaults
from masklet.errors import BackendError, SettingsError
from masklet.images import read_image
from masklet.masks.masks import Masks
from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.masks.tracked_frame import TrackedFrame
from masklet.predict.crop import check_zoom
from masklet.predict.embedded_image import EmbeddedImage, FullImage
from masklet.predict.generated_masks import GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_masks
from masklet.predict.zoomed_image import ZoomedImage
from masklet.prompts import Prompts, group_by_object, refuse_sam2_arguments
from masklet.tracking.auto_tracker import AutoTrackOptions, auto_track
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.propagate import PromptsByFrame, as_schedule, propagate, track_stream
from masklet.tracking.session_file import read_session
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import Direction, check_direction, plan_traversal
from masklet.video import open_video

if TYPE_CHECKING:
    from masklet.video import Video

_ONNX_ONLY = ("tensorrt", "coreml", "directml", "openvino")  # devices that PyTorch does not know


def load(
    model: str | Path = EMBEDDED_MODEL,
    *,
    device: str | None = None,
    dtype: str | None = None,
    input_size: int | None = None,
    zoom: float | None = None,
    runtime: str | None = None,
) -> Segmenter:
    """The model of that name (`masklet models list`), file or exported folder, ready to use.

    A file may be a released checkpoint (.pt) or safetensors with our, the released or the transformers names; its
    architecture is read from it. `runtime` is "torch" or "onnx", by default PyTorch where it is installed and
    onnxruntime elsewhere and on devices that PyTorch does not know; an exported folder always runs on onnxruntime.

    `device` on PyTorch is "cpu", "cuda", "cuda:1", "mps", …, by default the best there is; on onnxruntime "cpu" (by
    default), "cuda", "tensorrt", "coreml", "directml" or "openvino". Another is never taken in its place. `dtype` is
    "float32" (default), "float16", on PyTorch also "bfloat16" or "float64", on onnxruntime also "int8". `size` is the
    side of the square that pictures are resized to, a multiple of 32; by default the one that the weights were trained
    for. With a `zoom` the model looks closer: at each object in a window so many times as long as the object, 2 for
    instance, cut out of the picture or the frame. What is small gets finer masks; each object costs an encoding. By
    default the embedded model does and released ones do not, as the reference; 0 is never.

    Raises `InputNotFound`, `CheckpointError`, `SettingsError`, `ResourceError` or `BackendError`.
    """
    from masklet.checkpoints import key_names, read_tensors
    from masklet.checkpoints.hub import find_or_pull

    if Path(model).is_dir():
        if runtime == "torch":
            raise SettingsError("bad-usage", f"{model}: an exported folder runs on onnxruntime only")
        return _segmenter(_onnx().load(Path(model), device=device, dtype=dtype, input_size=input_size), zoom)
    chosen = _runtime(runtime, device)
    tensors = key_names.to_masklet(read_tensors(find_or_pull(model)))
    config = key_names.identify_config({name: value.shape for name, value in tensors.items()})
    return _segmenter(chosen.build(config, tensors, device=device, dtype=dtype, input_size=input_size), zoom)


@dataclass(frozen=True, slots=True)
class Segmenter:
    """A model with a runtime under it. With a `zoom` it looks at each object that is asked for in a window so many
    times as long; `everything` and `auto_track` look at whole pictures."""

    backend: Backend
    zoom: float = 0.0

    def __post_init__(self) -> None:
        check_zoom(self.zoom)

    def __repr__(self) -> str:
        return f"Segmenter({describe(self.backend)}{f', zoom {self.zoom:g}' if self.zoom else ''})"

    @property
    def config(self) -> ModelConfig:
        """What kind of network it is."""
        return self.backend.config

    @property
    def input_size(self) -> int:
        """The side of the square that pictures are resized to."""
        return self.backend.input_size

    def warm_up(self, *, video: bool = True) -> None:
        """Run everything once on a picture of nothing, so that the first answer takes no longer than the others."""
        features = self.backend.encode([np.zeros((self.input_size, self.input_size, 3), np.uint8)])[0]
        decoded = self.backend.decode(self.backend.attend(features, [Recall()]), [NO_PROMPT])
        if video:
            memory = self.backend.memorize(features, decoded, [True])[0]
            self.backend.attend(features, [Recall(((0, memory),), ((1, memory),))])

    @overload
    def embed(self, image: Sequence[Any], *, lazy: bool = False) -> list[EmbeddedImage]: ...
    @overload
    def embed(self, image: Any, *, lazy: bool = False) -> EmbeddedImage: ...
    def embed(self, image: Any, *, lazy: bool = False) -> EmbeddedImage | list[EmbeddedImage]:
        """Encode an image once, for any number of prompts.

        A model with a zoom also encodes the crop around each object, when a prompt first asks for it; crops are kept,
        see `ZoomedImage`.

        Args:
            image: Whatever `read_image` takes, or a list of images of any sizes, which are encoded in one call.
            lazy: With a zoom, encode the whole image when a prompt first needs it. Boxes and masks need its crops
                alone, so that an image that is prompted only with them is encoded less often. Without a zoom every
                prompt needs the whole image, and `lazy` changes nothing.

        Returns:
            The encoded image, or a list of them for a list.
        """
        many = isinstance(image, list | tuple)
        pictures = [read_image(one) for one in (image if many else [image])]
        embedded = self._embed(pictures, lazy=lazy)
        return embedded if many else embedded[0]

    @refuse_sam2_arguments("segment(image, {})")
    def segment(self, image: Any, prompts: Prompts, *, multimask: bool | None = None) -> Masks:
        """`embed` and `predict` in one call, for an image that is prompted once."""
        asked = group_by_object(prompts, "segment(image, {})")
        return self.embed(read_image(image), lazy=True).predict(asked, multimask=multimask)

    def tracker(self, video: Video | None = None, *, postprocessing: PostProcessing = NO_POSTPROCESSING) -> Tracker:
        """The tracker of a video, or of a stream whose frames are given one by one: see `Tracker`."""
        return Tracker(
            self.backend,
            video,
            length=None if video is None else len(video),
            postprocessing=postprocessing,
            zoom=self.zoom,
        )

    def resume(self, path: str | Path, video: Video | None = None) -> Tracker:
        """The tracker that was saved to `path`, as if it had never stopped: see `Tracker.save`.

        Raises `InputNotFound`, `CheckpointError` for a file that is no session, `StateError` for one of another model.
        """
        return read_session(Path(path), self.backend, video)

    @refuse_sam2_arguments("track(video, {})")
    def track(
        self,
        source: Any,
        prompts: Prompts | PromptsByFrame,
        *,
        direction: Direction = "forward",
        start: int | None = None,
        stop: int | None = None,
        postprocessing: PostProcessing = NO_POSTPROCESSING,
    ) -> Iterator[TrackedFrame]:
        """Masks of the prompted objects on every frame they are followed to, as they are found.

        `source` is whatever `open_video` takes, or a video. `prompts` is what `EmbeddedImage.predict` takes, for frame
        `start`, or `{frame: {object_id: prompt}}`. A video is walked within range(start, stop), by default all of it:
        forward from the first prompted frame, backward from the last one, or both ways from the first. A camera or an
        iterator is prompted when its frames come. `cleaning` fills holes, drops islands, keeps objects apart.

        The source is opened and the arguments are checked at the call; networks run when the iterator is advanced.
        Raises what `open_video`, `Tracker.prompt` and `plan_traversal` raise.
        """
        schedule = as_schedule(prompts, start or 0)
        check_direction(direction)
        video: Any = source if hasattr(source, "frames") else open_video(source)
        for prompt in (prompt for asked in schedule.values() for prompt in asked.values()):
            prompt.normalize_points(video.size)
        if hasattr(video, "frames"):
            walk = plan_traversal(len(video), schedule, direction=direction, start=start, stop=stop)
            return propagate(self.tracker(video, postprocessing=postprocessing), video, schedule, walk)
        if direction != "forward":
            raise SettingsError("bad-usage", f"frames that come once are tracked forward only, got {direction!r}")
        return track_stream(
            Tracker(self.backend, disk_cache=DiskCache(0), postprocessing=postprocessing, zoom=self.zoom),
            video,
            schedule,
        )

    def generate_masks(
        self,
        image: Any,
        options: MaskGeneratorOptions | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> GeneratedMasks:
        """Segment everything in an image without a prompt: see `masklet.predict.mask_generator` for the options.

        `progress(clicks done, clicks in all)` is told how far it is.
        """
        return generate_masks(self.backend, read_image(image), options, progress=progress)

    def auto_track(
        self, source: Any, options: AutoTrackOptions | None = None, *, start: int | None = None, stop: int | None = None
    ) -> Iterator[TrackedFrame]:
        """All there is in a video, without a prompt, frame by frame: see `Watch`, which says what can be chosen.

        `source` is whatever `open_video` takes, or a video; of one that has an end the frames of range(start, stop).
        The source is opened and the arguments are checked at the call.

        Raises what `open_video` raises, and `SettingsError` for a range without frames.
        """
        if not isinstance(options, AutoTrackOptions | None):
            raise SettingsError(
                "bad-usage",
                f"options must be AutoTrackOptions, got {type(options).__name__}; write AutoTrackOptions(mask_generator=…)",
            )
        video: Any = source if hasattr(source, "frames") else open_video(source)
        length = len(video) if hasattr(video, "frames") else None
        if length is None:
            return auto_track(self.backend, video, options or AutoTrackOptions())
        visited = range(*slice(start, stop).indices(length))
        if not visited:
            message = f"no frames to visit from {start or 0} to before {length if stop is None else stop} of {length}"
            raise SettingsError("bad-usage", message)
        return auto_track(self.backend, video.frames(visited), options or AutoTrackOptions(), length=length)

    def _embed(self, pictures: Sequence[NDArray[np.uint8]], *, lazy: bool) -> list[EmbeddedImage]:
        if not self.zoom:
            return [*FullImage.encode(self.backend, pictures)]
        own = [picture.copy() for picture in pictures]  # crops are cut out of them later
        if lazy:
            return [ZoomedImage(self.backend, picture, self.zoom) for picture in own]
        return [*ZoomedImage.encode(self.backend, own, self.zoom)]


def _segmenter(backend: Backend, zoom: float | None) -> Segmenter:
    return Segmenter(backend, ModelDefaults.of(backend.config.name).zoom if zoom is None else zoom)


def _runtime(name: str | None, device: str | None) -> Any:
    if name not in (None, "torch", "onnx"):
        raise SettingsError("bad-usage", f"runtime must be torch or onnx, got {name!r}")
    by_torch = find_spec("torch") and (device or "").partition(":")[0] not in _ONNX_ONLY
    return _torch() if name == "torch" or (name is None and by_torch) else _onnx()


def _torch() -> Any:
    try:
        from masklet.backends import torch
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise BackendError(
            "backend-missing", "PyTorch is not installed", hint='pip install "masklet[torch]", or use runtime="onnx"'
        ) from missing
    return torch


def _onnx() -> Any:
    from masklet.backends import onnx

    return onnx

"""Segmenter: a model that segments images and tracks objects in videos, and `load`, which loads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from masklet.backend import NO_PROMPT, Backend, Recall, describe
from masklet.config import EMBEDDED_MODEL, ModelConfig, ModelDefaults
from masklet.detectors.detected_objects import DetectedObjects, detect_objects
from masklet.detectors.detections import Detector
from masklet.errors import BackendError, PromptError, SettingsError, issue
from masklet.images import read_image
from masklet.images.image_source import ImageSource
from masklet.masks.masks import Masks
from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.masks.tracked_frame import TrackedFrame
from masklet.memory.policies import parse_memory
from masklet.memory.policy import MemoryPolicy
from masklet.memory.recent_memory import RECENT_MEMORY
from masklet.predict.embedded_image import EmbeddedImage
from masklet.predict.generated_masks import GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_masks
from masklet.predict.references import References
from masklet.predict.sam2_arguments import refuse_sam2_arguments
from masklet.prompts import Prompts, group_by_object
from masklet.tracking.auto_tracker import AutoTracker, AutoTrackOptions
from masklet.tracking.propagate import need_nothing, propagate
from masklet.tracking.retention import retain_for_turn
from masklet.tracking.schedule import PromptsByFrame, Schedule, as_schedule
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import (
    Direction,
    Traversal,
    TraversedVideo,
    check_direction,
    plan_traversal,
    visit_in_order,
)
from masklet.video import open_video
from masklet.views.view import WHOLE_VIEW, View
from masklet.views.view_fields import view_of_zoom
from masklet.views.zoom_view import ZoomView

if TYPE_CHECKING:
    from masklet.checkpoints.weights import Weights
    from masklet.video import Frame, LiveVideo, Video

_ONNX_ONLY = ("tensorrt", "coreml", "directml", "openvino")  # devices that PyTorch does not have

VideoSource: TypeAlias = "str | os.PathLike[str] | int | Video | LiveVideo | NDArray[Any] | Iterable[ImageSource]"
"""A video, or whatever `open_video` takes: a path, a list of images, an array, an iterator or a camera's number."""


def load(
    model: str | Path = EMBEDDED_MODEL,
    *,
    device: str | None = None,
    dtype: str | None = None,
    input_size: int | None = None,
    zoom: float | None = None,
    view: View | None = None,
    memory: str | MemoryPolicy | None = None,
    runtime: str | None = None,
    variant: str | None = None,
    base: str | Path | None = None,
) -> Segmenter:
    """Load a model.

    A released model that is not in the cache is downloaded, and its SHA-256 is checked. The architecture is read from
    the weights. A device that is not available is an error; no other device is used in its place.

    Args:
        model: Name of a model (`masklet models list`), also as a file stem or repository of its release, path of a
            checkpoint (.pt, or safetensors with the names of masklet, SAM 2 or transformers), a folder of transformers
            or a LoRA adapter of PEFT, `hf:owner/name[/file][@revision]` on the Hugging Face Hub, or an exported folder.
        device: On PyTorch "cpu", "cuda", "cuda:1", "mps", …; by default the first available of CUDA, MPS and CPU.
            On onnxruntime "cpu" (default), "cuda", "tensorrt", "coreml", "directml" or "openvino".
        dtype: "float32" (default), "float16", on PyTorch also "bfloat16" or "float64", on onnxruntime also "int8".
        input_size: Side of the square, in pixels, that images are resized to, a multiple of 32. By default the one
            that the weights were trained for.
        zoom: Predict each object in a crop whose side is `zoom` × the size of the object, for instance 2, cut out of
            the image or the frame. Masks of small objects become finer, and each object costs an encoding. 0 disables
            it. By default 2 with the embedded model, else 0, as in SAM 2.
        view: Rule that places the part of an image or frame in which each object is predicted, in place of `zoom`, for
            instance `TiledView(1024)` for images of over 10,000 pixels a side.
        memory: Which memories a frame of a video recalls: "recent" (default, SAM 2's rule), "samurai", "dam4sam" or
            "sam2long" (docs/video.md), or a memory policy.
        runtime: "torch" or "onnx". By default PyTorch where it is installed, and onnxruntime elsewhere and on devices
            that PyTorch does not have. An exported folder always runs on onnxruntime.
        variant: Variant of EfficientTAM, which its tensors do not tell: "plain", "1", "2" or "512x512". By default the
            name of the file decides.
        base: Name or path of the checkpoint that a LoRA adapter changes. By default the adapter's configuration names
            it.

    Returns:
        The model.

    Raises:
        InputNotFound: The file or folder does not exist.
        CheckpointError: The file is not a checkpoint of SAM 2, or is damaged.
        SettingsError: An option is outside its range.
        ResourceError: The device is not available, the memory is too small, or the download failed.
        BackendError: The runtime is not installed.

    Example:
        >>> model = masklet.load()
        >>> model = masklet.load("sam2.1-tiny", device="cuda", dtype="bfloat16")
    """
    from masklet.checkpoints.hub import find_or_pull
    from masklet.checkpoints.weight_folder import is_weight_folder
    from masklet.checkpoints.weights import WeightOptions, load_weights

    parse_memory(memory)  # before anything is read
    if not Path(model).is_dir():
        _select_runtime(runtime, device)
    path = find_or_pull(model)
    if path.is_dir() and not is_weight_folder(path):
        if runtime == "torch":
            raise SettingsError("bad-usage", f"{model}: an exported folder runs on onnxruntime only; leave out runtime")
        if variant is not None or base is not None:
            raise SettingsError("bad-usage", f"{model}: an exported folder has no variant and no base; leave them out")
        backend = _import_onnx().load(path, device=device, dtype=dtype, input_size=input_size)
        return _make_segmenter(backend, zoom, view, memory)
    weights = load_weights(path, WeightOptions(variant, base))
    return build_segmenter(
        weights,
        device=device,
        dtype=dtype,
        input_size=input_size,
        zoom=zoom,
        view=view,
        memory=memory,
        runtime=runtime,
    )


def build_segmenter(
    weights: Weights,
    *,
    device: str | None = None,
    dtype: str | None = None,
    input_size: int | None = None,
    zoom: float | None = None,
    view: View | None = None,
    memory: str | MemoryPolicy | None = None,
    runtime: str | None = None,
) -> Segmenter:
    """Build a model from weights in memory. The options and the errors are those of `load`."""
    backends = _select_runtime(runtime, device)
    backend = backends.build(weights.config, weights.tensors, device=device, dtype=dtype, input_size=input_size)
    return _make_segmenter(backend, zoom, view, memory)


def from_pretrained(repository: str, *, revision: str | None = None, **options: Any) -> Segmenter:
    """Load a model of the Hugging Face Hub: `load("hf:owner/name@revision")`.

    Args:
        repository: `owner/name`, or `owner/name/file` for one file of the repository.
        revision: Branch, tag or commit. By default the main branch.
        **options: The options of `load`.

    Returns:
        The model.

    Raises:
        BackendError: huggingface_hub is not installed (extra `hub`).
        MaskletError: See `load`.

    Example:
        >>> model = masklet.from_pretrained("facebook/sam2.1-hiera-tiny", device="cpu")
    """
    return load(f"hf:{repository}" + (f"@{revision}" if revision else ""), **options)


@dataclass(frozen=True, slots=True)
class Segmenter:
    """Model that segments images and tracks objects in videos. Build it with `load`.

    Attributes:
        backend: Runtime with the network.
        view: Rule that places the part of an image or frame in which each object is predicted. `generate_masks` and
            `auto_track` always use whole images.
        memory: Memory policy of tracking.

    Example:
        >>> model = masklet.load()
        >>> masks = model.segment("dog.jpg", click(630, 300))
        >>> for frame in model.track("dog.mp4", box(260, 60, 420, 300)):
        ...     print(frame.index, frame.masks.areas)
    """

    backend: Backend
    view: View = WHOLE_VIEW
    memory: MemoryPolicy = RECENT_MEMORY

    def __repr__(self) -> str:
        view = f", {self.view}" if self.view.has_regions else ""
        return f"Segmenter({describe(self.backend)}{view})"

    @property
    def zoom(self) -> float:
        """Side of a crop divided by the size of its object; 0 if objects are not predicted in crops of their own."""
        return self.view.zoom if isinstance(self.view, ZoomView) else 0.0

    @property
    def config(self) -> ModelConfig:
        """Architecture of the network."""
        return self.backend.config

    @property
    def input_size(self) -> int:
        """Side of the square, in pixels, that images are resized to."""
        return self.backend.input_size

    def warm_up(self, *, video: bool = True) -> None:
        """Run all networks once on an empty image, so that the first prediction takes no longer than later ones.

        Args:
            video: Run the networks of tracking too.
        """
        features = self.backend.encode([np.zeros((self.input_size, self.input_size, 3), np.uint8)])[0]
        decoded = self.backend.decode(self.backend.attend(features, [Recall()]), [NO_PROMPT])
        if video:
            memory = self.backend.memorize(features, [decoded], [True])[0]
            self.backend.attend(features, [Recall(((0, memory),), ((1, memory),))])

    @overload  # it comes first, since a `str` is also a sequence
    def embed(self, image: ImageSource, *, lazy: bool = False, warn: bool = True) -> EmbeddedImage: ...  # type: ignore[overload-overlap]
    @overload
    def embed(self, image: Sequence[ImageSource], *, lazy: bool = False, warn: bool = True) -> list[EmbeddedImage]: ...
    def embed(self, image: Any, *, lazy: bool = False, warn: bool = True) -> EmbeddedImage | list[EmbeddedImage]:
        """Encode an image once, for any number of prompts.

        A model with a zoom also encodes the crop around each object, when a prompt first needs it. Crops are kept in a
        cache, see `EmbeddedImage`.

        Args:
            image: Whatever `read_image` takes, or a list or tuple of images of any sizes, which are encoded in one
                call.
            lazy: With a zoom, encode the full image when a prompt first needs it. Boxes and masks need only its crops,
                so that an image that is prompted only with them is encoded less often. Without a zoom every prompt
                needs the full image, and `lazy` changes nothing.
            warn: Issue a Python warning for a mask that is probably wrong. `Masks.warnings` has it in any case.

        Returns:
            The encoded image, or a list of them for a list or tuple.

        Raises:
            InputNotFound: The file does not exist.
            ImageError: The image cannot be read.
        """
        sources = image if isinstance(image, list | tuple) else [image]
        images = [self._read_unshared(source) for source in sources]
        embedded = EmbeddedImage.encode(self.backend, images, self.view, lazy=lazy, warn=warn)
        return embedded if isinstance(image, list | tuple) else embedded[0]

    @refuse_sam2_arguments("segment(image, {})")
    def segment(self, image: ImageSource, prompts: Prompts, *, multimask: bool | None = None) -> Masks:
        """Encode an image and predict masks in one call, for an image that is prompted once.

        Args:
            image: Whatever `read_image` takes.
            prompts: See `EmbeddedImage.predict`.
            multimask: See `EmbeddedImage.predict`.

        Returns:
            Masks at the image's size, one per object in the order of `prompts`.

        Raises:
            PromptError: A point lies outside the image, a mask has other proportions, or an argument is not a prompt.
            InputNotFound: The file does not exist.
            ImageError: The image cannot be read.
        """
        by_object = group_by_object(prompts, "segment(image, {})")
        embedded = EmbeddedImage.encode(self.backend, [read_image(image)], self.view, lazy=True, warn=True)[0]
        return embedded.predict(by_object, multimask=multimask)

    def detect(self, image: ImageSource, detector: Detector, *, min_score: float | None = None) -> DetectedObjects:
        """Find objects with a detector, and segment each of them.

        Args:
            image: Whatever `read_image` takes.
            detector: The detector, such as `masklet.load_detector` returns.
            min_score: Score of the detector from which a detection is an object. By default that of the detector.

        Returns:
            Masks and detections of objects 1, 2, … by descending score of the detector. Duplicates are left out. The
            labels are the classes.

        Raises:
            BackendError: `bad-detections`. The detector does not return boxes, labels and scores. `detector-failed`. It
                raised an error.
            InputNotFound: The file does not exist.
            ImageError: The image cannot be read.

        Example:
            >>> detector = masklet.load_detector("models/owlv2", "cat, dog")
            >>> masks, detections = model.detect("street.jpg", detector)
        """
        pixels = read_image(image)
        embedded = EmbeddedImage.encode(self.backend, [pixels], self.view, lazy=True)[0]
        objects = detect_objects(embedded, pixels, detector, min_score)
        for warning in objects.masks.warnings:
            issue(warning)
        return objects

    def references(self) -> References:
        """Create an empty set of reference images, on which objects are marked that other images are searched for.

        Example:
            >>> references = model.references()
            >>> references.add("desk_1.jpg", box(120, 80, 210, 190, label="cup"))
            >>> masks = references.segment("desk_2.jpg")
        """
        return References(self.backend, self.view)

    def tracker(self, video: Video | None = None, *, postprocessing: PostProcessing = NO_POSTPROCESSING) -> Tracker:
        """Create the tracker of a video, or of a stream whose frames are passed one by one.

        Args:
            video: The video, or None for a stream.
            postprocessing: Hole filling, removal of islands, and separation of objects.
        """
        length = None if video is None else len(video)
        return self._create_tracker(video, length, postprocessing)

    def resume(self, path: str | Path, video: Video | None = None) -> Tracker:
        """Read a tracker that `Tracker.save` wrote. Tracking resumes from its saved state.

        Args:
            path: The session file.
            video: The video, or None for a stream.

        Raises:
            InputNotFound: The file does not exist.
            CheckpointError: The file is not a session.
            StateError: The session was made with another model or another input size.
        """
        return read_session(Path(path), self.backend, video)

    @refuse_sam2_arguments("track(video, {})")
    def track(
        self,
        source: VideoSource,
        prompts: Prompts | PromptsByFrame,
        *,
        direction: Direction = "forward",
        start: int | None = None,
        stop: int | None = None,
        postprocessing: PostProcessing = NO_POSTPROCESSING,
    ) -> Iterator[TrackedFrame]:
        """Track prompted objects through a video.

        The source is opened and the arguments are checked at the call. Networks run when the iterator is advanced.

        Args:
            source: A video, or whatever `open_video` takes. Frames of a camera or an iterator are prompted when they
                arrive.
            prompts: What `EmbeddedImage.predict` takes, for frame `start`, or a mapping from frame to that:
                `{frame: {object_id: prompt}}`. Coordinates are pixels of the frames, (x, y).
            direction: "forward" from the first prompted frame, "backward" from the last one, or "both" ways from the
                first one.
            start: First frame of the range; by default 0.
            stop: End of the range, as in `range(start, stop)`; by default the end of the video.
            postprocessing: Hole filling, removal of islands, and separation of objects.

        Returns:
            Iterator over the tracked frames, each with the masks of all objects. Masks that are probably wrong are
            reported in `TrackedFrame.warnings` and as Python warnings, each kind once for an object.

        Raises:
            PromptError: A point lies outside the frame, an argument is not a prompt, or a prompted frame is outside the
                range.
            SettingsError: The direction is unknown, or the range has no frames.
            InputNotFound: The file does not exist.
            VideoError: The video cannot be read.
        """
        schedule = as_schedule(prompts, start or 0)
        check_direction(direction)
        video = _open(source)
        for prompt in (prompt for by_object in schedule.values() for prompt in by_object.values()):
            prompt.check_fits(video.size)
        if hasattr(video, "frames"):
            traversal = plan_traversal(len(video), schedule, direction=direction, start=start, stop=stop)
            tracker = self._create_tracker(TraversedVideo(video, traversal), len(video), postprocessing)
            return _issue_warnings(_track_video(tracker, video, schedule, traversal))
        if direction != "forward":
            message = f"a camera or an iterator delivers frames once; direction must be forward, got {direction!r}"
            raise SettingsError("bad-usage", message)
        return _issue_warnings(_track_stream(self.tracker(postprocessing=postprocessing), video, schedule))

    def generate_masks(
        self,
        image: ImageSource,
        options: MaskGeneratorOptions | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> GeneratedMasks:
        """Segment everything in an image without prompts.

        Args:
            image: Whatever `read_image` takes.
            options: Options of the mask generator.
            progress: Function that is called with the numbers of points done and of all points, after each batch.

        Returns:
            The masks by descending score.

        Raises:
            InputNotFound: The file does not exist.
            ImageError: The image cannot be read.
        """
        return generate_masks(self.backend, read_image(image), options, progress=progress)

    def auto_track(
        self,
        source: VideoSource,
        options: AutoTrackOptions | None = None,
        *,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[TrackedFrame]:
        """Track everything in a video without prompts, or what a detector finds, frame by frame.

        The source is opened and the arguments are checked at the call. Networks run when the iterator is advanced.

        Args:
            source: A video, or whatever `open_video` takes.
            options: Options of automatic tracking.
            start: First frame of the range; by default 0.
            stop: End of the range, as in `range(start, stop)`; by default the end of the video. A camera or an iterator
                has no range.

        Returns:
            Iterator over the frames, each with the masks of the objects that are tracked there.

        Raises:
            SettingsError: The range has no frames, or `options` is not `AutoTrackOptions`.
            InputNotFound: The file does not exist.
            VideoError: The video cannot be read.
        """
        if not isinstance(options, AutoTrackOptions | None):
            raise SettingsError(
                "bad-usage",
                f"options must be AutoTrackOptions, got {type(options).__name__}; "
                "write AutoTrackOptions(mask_generator=MaskGeneratorOptions())",
            )
        options, video = options or AutoTrackOptions(), _open(source)
        if not hasattr(video, "frames"):
            return self._auto_track(video, options, None)
        length = len(video)
        visited = range(*slice(start, stop).indices(length))
        if not visited:
            stop = length if stop is None else stop
            message = f"no frames to visit: start is {start or 0} and stop is {stop}, but the video has {length} frames"
            raise SettingsError("bad-usage", message)
        return self._auto_track(video.frames(visited), options, length)

    def _auto_track(
        self, frames: Iterable[Frame], options: AutoTrackOptions, length: int | None
    ) -> Iterator[TrackedFrame]:
        """Track everything in frames that arrive once and in order."""
        tracker = Tracker(self.backend, length=length, memory=self.memory)
        visits = (replace(visit, position=position) for position, visit in enumerate(visit_in_order(frames)))
        auto_tracker = AutoTracker(tracker, options)
        return auto_tracker.add_detections(propagate(tracker, visits, after=auto_tracker.update, needed=need_nothing))

    def _create_tracker(self, video: Any, length: int | None, postprocessing: PostProcessing) -> Tracker:
        return Tracker(
            self.backend, video, length=length, postprocessing=postprocessing, view=self.view, memory=self.memory
        )

    def _read_unshared(self, source: ImageSource) -> NDArray[np.uint8]:
        """Read an image. What the caller may change later is copied if regions are cut out of it later."""
        image = read_image(source)
        return image if isinstance(source, str | os.PathLike | bytes) or not self.view.has_regions else image.copy()


def _track_video(tracker: Tracker, video: Video, schedule: Schedule, traversal: Traversal) -> Iterator[TrackedFrame]:
    """Prompt every scheduled frame, then track through the frames of a traversal that are reached."""
    for frame, prompts in sorted(schedule.items()):
        tracker.prompt(traversal.position_of(frame), prompts)
    visits = (visit for visit in traversal.visits(video) if visit.frame is not None)
    yield from propagate(tracker, visits, needed=retain_for_turn(tracker, traversal))


def _track_stream(tracker: Tracker, frames: Iterable[Frame], schedule: Schedule) -> Iterator[TrackedFrame]:
    """Track forward through frames that arrive once, from the first prompted one on.

    Raises:
        PromptError: The frames end before the last scheduled one.
    """
    waiting = dict(schedule)

    def prompt(position: int, frame: Frame) -> None:
        if position in waiting:
            tracker.prompt(position, waiting.pop(position), frame.image)

    tracked = propagate(tracker, visit_in_order(frames), before=prompt, needed=need_nothing)
    yield from dropwhile(lambda frame: not len(frame.masks), tracked)
    if waiting:
        raise PromptError("unknown-frame", f"the stream ended before frame {min(waiting)}, which has a prompt")


def _issue_warnings(frames: Iterator[TrackedFrame]) -> Iterator[TrackedFrame]:
    for frame in frames:
        for warning in frame.warnings:
            issue(warning)
        yield frame


def _open(source: Any) -> Any:
    """Open a video, unless it is one."""
    return source if hasattr(source, "frames") else open_video(source)


def _make_segmenter(
    backend: Backend, zoom: float | None, view: View | None, memory: str | MemoryPolicy | None
) -> Segmenter:
    if view is not None and (isinstance(view, type) or not callable(getattr(view, "place", None))):
        raise SettingsError("bad-usage", f"view must be a view such as TiledView(1024), got {view!r}")
    if view is not None and zoom:
        raise SettingsError("bad-usage", f"zoom={zoom:g} and view={view} exclude each other; give one of them")
    if view is None:
        view = view_of_zoom(ModelDefaults.of(backend.config.name).zoom if zoom is None else zoom)
    return Segmenter(backend, view, parse_memory(memory, backend.config.name))


def _select_runtime(name: str | None, device: str | None) -> Any:
    if name not in (None, "torch", "onnx"):
        raise SettingsError("bad-usage", f"runtime must be torch or onnx, got {name!r}")
    prefers_torch = find_spec("torch") and (device or "").partition(":")[0] not in _ONNX_ONLY
    return _import_torch() if name == "torch" or (name is None and prefers_torch) else _import_onnx()


def _import_torch() -> Any:
    try:
        from masklet.backends import torch
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise BackendError(
            "backend-missing", "PyTorch is not installed", hint='pip install torch, or use runtime="onnx"'
        ) from missing
    return torch


def _import_onnx() -> Any:
    from masklet.backends import onnx

    return onnx

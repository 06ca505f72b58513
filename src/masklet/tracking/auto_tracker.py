"""Automatic tracking: find objects every few frames, track each of them, and give new objects new ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from masklet.detectors.detected_objects import list_detections, segment_detections
from masklet.detectors.detections import Detections, Detector, identify, min_score_of, run_detector
from masklet.detectors.matching import list_known, match_detections
from masklet.errors import SettingsError
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.masks.object_detection import ObjectDetection
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.predict.embedded_image import EmbeddedImage
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_masks
from masklet.prompts import Prompt, mask
from masklet.tracking.tracker import Tracker

if TYPE_CHECKING:
    from masklet.video import Frame

Image = NDArray[np.uint8]

_DUPLICATE_IOU = 0.8  # mask IoU above which the younger of two objects is dropped as a duplicate
_KEYS = {"mask_generator": "search", "min_uncovered": "uncovered", "max_objects": "most"}
"""Options by the keys of job logs, where they differ."""

_OF_DETECTOR = ("detector", "min_score", "max_misses")


@dataclass(frozen=True, slots=True)
class AutoTrackOptions:
    """Options of automatic tracking.

    Attributes:
        mask_generator: Options of the mask generator.
        every: Generate or detect masks on the first frame and every `every` frames.
        min_uncovered: Track a new mask if at least this share of it is covered by no tracked object; with a detector,
            by none of its class.
        patience: Drop an object that is hidden on `patience` frames in a row. If it reappears, it gets a new id.
        max_objects: Largest number of objects that are tracked at once. Masks with the highest scores have priority;
            others are tracked only after an object is dropped.
        detector: Detector that finds the objects and their classes, in place of the mask generator.
        min_score: Score of the detector from which a detection becomes an object. Detections with a lower score only
            confirm objects that are tracked. By default that of the detector.
        max_misses: Drop a visible object that the detector does not find so many times in a row. By default never.

    Raises:
        SettingsError: An option is outside its range.

    Example:
        >>> options = AutoTrackOptions(MaskGeneratorOptions(points_per_side=16), every=30, max_objects=20)
        >>> for frame in model.auto_track("street.mp4", options):
        ...     print(frame.index, frame.masks.object_ids)
    """

    mask_generator: MaskGeneratorOptions = field(default_factory=MaskGeneratorOptions)
    every: int = 15
    min_uncovered: float = 0.5
    patience: int = 30
    max_objects: int = 64
    detector: Detector | None = None
    min_score: float | None = None
    max_misses: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "patience", "max_objects"):
            if getattr(self, name) < 1:
                raise SettingsError("bad-usage", f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.min_uncovered <= 1:
            message = f"min_uncovered must be above 0 and at most 1, got {self.min_uncovered}"
            raise SettingsError("bad-usage", message)
        detector: Any = self.detector
        if not (detector is None or callable(detector)):
            message = f"detector must be a function of an image, got {detector!r:.60}"
            raise SettingsError("bad-usage", message)
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise SettingsError("bad-usage", f"min_score must be from 0 to 1, got {self.min_score}")
        if self.max_misses is not None and self.max_misses < 1:
            raise SettingsError("bad-usage", f"max_misses must be at least 1, got {self.max_misses}")

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON values, by the keys that job logs have. Those of a detector need one."""
        names = [name for name in self.__slots__ if name not in _OF_DETECTOR]
        values = {_KEYS.get(name, name): getattr(self, name) for name in names}
        values["search"] = asdict(self.mask_generator)
        if self.detector is not None:
            values |= {name: getattr(self, name) for name in _OF_DETECTOR} | {"detector": identify(self.detector)}
        grids = self.mask_generator.point_grids
        values["search"]["point_grids"] = None if grids is None else [grid.tolist() for grid in grids]
        return values


class AutoTracker:
    """Automatic tracking of frames in order.

    Object ids count from 1 and are not used again. Memory does not grow with the number of frames: it holds only the
    objects that are tracked now, at most `max_objects`.

    Args:
        tracker: Tracker that only this object prompts.
        options: Options.
        finished: Frames that the tracker has tracked before, if a job resumes.

    Attributes:
        detections: What the detector found on the last frame, if it ran on it.
    """

    def __init__(self, tracker: Tracker, options: AutoTrackOptions, finished: Iterable[RleFrame] = ()) -> None:
        self._tracker, self._options = tracker, options
        self._next_id = 1
        self._hidden_frames: dict[int, int] = {}  # by object: frames in a row on which it is hidden
        self._misses: dict[int, int] = {}  # by object: how many times in a row the detector did not find it
        self.detections: tuple[ObjectDetection, ...] = ()
        self._last = -1  # position of the last frame that could be decoded
        for position, frame in enumerate(finished):
            if not frame.corrupt:
                visible = {mask.object_id: rle.compute_area(mask.rle) > 0 for mask in frame}
                if self._searches(position) and options.detector is not None:
                    self._count_misses(visible, {detection.object_id for detection in frame.detections})
                self._last = position
                self._count(visible)
        self._hidden_frames = {key: count for key, count in self._hidden_frames.items() if key in tracker.tracks}

    def update(self, position: int, frame: Frame, masks: Masks) -> Masks:
        """Drop objects after a tracked frame, and every `every` frames add new objects.

        If such a frame cannot be decoded, objects are searched on the next frame that can be.

        Args:
            position: Position of the frame, from 0 for the first one.
            frame: The frame.
            masks: The masks of all objects on the frame.

        Returns:
            The masks of the objects that are tracked on, with new ones.
        """
        self.detections = ()
        self._count(_list_visible(masks))
        self._drop(key for key in masks.object_ids if self._hidden_frames[key] >= self._options.patience)
        masks = self._select_tracked(masks)
        if frame.corrupt:
            return masks
        searches = self._searches(position)
        self._last = position
        if not searches:
            return masks
        self._drop(_find_duplicates(masks))
        masks = self._select_tracked(masks)
        if self._options.detector is None:
            prompts = self._generate_prompts(masks, frame.image)
        else:
            prompts = self._detect_prompts(self._options.detector, masks, frame.image)
            masks = self._select_tracked(masks)
        if not prompts:
            return masks
        self._tracker.prompt(position, prompts, frame.image)
        masks = self._tracker.step(position, frame.image)  # computes nothing: all results on this frame are current
        self._count({key: visible for key, visible in _list_visible(masks).items() if key in prompts})
        return masks

    def add_detections(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Add the detections to the frames that come from `propagate` with `update`."""
        for frame in frames:
            yield replace(frame, detections=self.detections) if self.detections else frame
            self.detections = ()

    def _searches(self, position: int) -> bool:
        """Return whether objects are searched on the frame at a position."""
        return position // self._options.every > self._last // self._options.every

    def _detect_prompts(self, detector: Detector, masks: Masks, image: Image) -> dict[int, Prompt]:
        """Detect objects, drop those that are missed, and return the masks of new objects as prompts."""
        detections = run_detector(detector, image)
        matches = match_detections(detections, masks)
        self._count_misses(_list_visible(masks), {*matches.known})
        if self._options.max_misses is not None:
            self._drop(key for key, count in [*self._misses.items()] if count >= self._options.max_misses)
        known = [key for key in matches.known if key in self._tracker.tracks]
        confirmed = detections[[matches.known[key] for key in known]]
        self.detections = list_detections(confirmed, tuple(known))
        return self._segment_new(detections[matches.new], self._select_tracked(masks), image)

    def _segment_new(self, detections: Detections, masks: Masks, image: Image) -> dict[int, Prompt]:
        """Return the masks of detections as prompts of new objects, as many as may be tracked."""
        options, tracker = self._options, self._tracker
        least = options.min_score
        if least is None and options.detector is not None:
            least = min_score_of(options.detector)
        free_places = max(options.max_objects - len(masks), 0)
        found = detections[detections.scores >= np.float32(least or 0.0)]
        if not free_places or not len(found):
            return {}
        embedded = EmbeddedImage.encode(tracker.backend, [image], tracker.view, lazy=True)[0]
        objects = segment_detections(
            embedded, found, list_known(masks), first_id=self._next_id, min_uncovered=options.min_uncovered
        )
        self.detections += objects.list_detections()[:free_places]
        pairs = zip(objects.masks.object_ids, objects.masks.binary, objects.masks.labels, strict=True)
        return {key: mask(pixels, label=label) for key, pixels, label in [*pairs][:free_places]}

    def _generate_prompts(self, masks: Masks, image: Image) -> dict[int, Prompt]:
        """Generate masks where nothing is tracked, and return them as prompts of new objects."""
        covered = np.asarray(masks.binary.any(axis=0))
        free_places = self._options.max_objects - len(masks)
        prompts: dict[int, Prompt] = {}
        if free_places <= 0 or covered.all():
            return prompts
        for generated in generate_masks(self._tracker.backend, image, self._options.mask_generator, region=~covered):
            pixels = rle.decode(generated.rle)
            if np.count_nonzero(pixels & ~covered) >= self._options.min_uncovered * generated.area:
                prompts[self._next_id + len(prompts)] = mask(pixels)
                covered |= pixels
            if len(prompts) == free_places:
                break
        return prompts

    def _select_tracked(self, masks: Masks) -> Masks:
        """Select the masks of objects that are not dropped."""
        positions = [position for position, key in enumerate(masks.object_ids) if key in self._tracker.tracks]
        return masks if len(positions) == len(masks) else masks[positions]

    def _count(self, visible: dict[int, bool]) -> None:
        """Count the frames on which each object is hidden, and the ids that are used."""
        for key, is_visible in visible.items():
            self._hidden_frames[key] = 0 if is_visible else self._hidden_frames.get(key, 0) + 1
            self._next_id = max(self._next_id, key + 1)

    def _count_misses(self, visible: dict[int, bool], found: set[int]) -> None:
        """Count how many times in a row the detector does not find each visible object."""
        missed = {key: self._misses.get(key, 0) + is_visible for key, is_visible in visible.items() if key not in found}
        self._misses = {key: count for key, count in missed.items() if count}

    def _drop(self, object_ids: Iterable[int]) -> None:
        for key in [*object_ids]:
            self._tracker.remove_object(key)
            del self._hidden_frames[key]
            self._misses.pop(key, None)


def _list_visible(masks: Masks) -> dict[int, bool]:
    """Return whether the mask of each object has pixels, by object id."""
    return dict(zip(masks.object_ids, [bool(mask.any()) for mask in masks.binary], strict=True))


def _find_duplicates(masks: Masks) -> list[int]:
    """Find the objects that duplicate an older object. Ids ascend, so of two objects the later one is younger."""
    overlaps = np.triu(masks.iou(masks), 1) > _DUPLICATE_IOU
    return [masks.object_ids[position] for position in np.flatnonzero(overlaps.any(axis=0))]

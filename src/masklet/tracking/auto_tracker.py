"""Automatic tracking: generate masks every few frames, track each of them, and give new objects new ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import SettingsError
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_masks
from masklet.prompts import Prompt, mask
from masklet.tracking.tracker import Tracker

if TYPE_CHECKING:
    from masklet.video import Frame

Image = NDArray[np.uint8]

_DUPLICATE_IOU = 0.8  # mask IoU above which the younger of two objects is dropped as a duplicate
_KEYS = {"mask_generator": "search", "min_uncovered": "uncovered", "max_objects": "most"}
"""Options by the keys of job logs, where they differ."""


@dataclass(frozen=True, slots=True)
class AutoTrackOptions:
    """Options of automatic tracking.

    Attributes:
        mask_generator: Options of the mask generator.
        every: Generate masks on the first frame and every `every` frames.
        min_uncovered: Track a generated mask if at least this share of it is covered by no tracked object.
        patience: Drop an object that is hidden on `patience` frames in a row. If it reappears, it gets a new id.
        max_objects: Largest number of objects that are tracked at once. Masks with the highest scores have priority;
            others are tracked only after an object is dropped.

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

    def __post_init__(self) -> None:
        for name in ("every", "patience", "max_objects"):
            if getattr(self, name) < 1:
                raise SettingsError("bad-usage", f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.min_uncovered <= 1:
            message = f"min_uncovered must be above 0 and at most 1, got {self.min_uncovered}"
            raise SettingsError("bad-usage", message)

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON values, by the keys that job logs have."""
        values = {_KEYS.get(name, name): value for name, value in asdict(self).items()}
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
    """

    def __init__(self, tracker: Tracker, options: AutoTrackOptions, finished: Iterable[RleFrame] = ()) -> None:
        self._tracker, self._options = tracker, options
        self._next_id = 1
        self._hidden_frames: dict[int, int] = {}  # by object: frames in a row on which it is hidden
        self._last = -1  # position of the last frame that could be decoded
        for position, frame in enumerate(finished):
            if not frame.corrupt:
                self._last = position
                self._count({mask.object_id: rle.compute_area(mask.rle) > 0 for mask in frame})
        self._hidden_frames = {key: count for key, count in self._hidden_frames.items() if key in tracker.tracks}

    def update(self, position: int, frame: Frame, masks: Masks) -> Masks:
        """Drop objects after a tracked frame, and every `every` frames add the objects of generated masks.

        If such a frame cannot be decoded, masks are generated on the next frame that can be.

        Args:
            position: Position of the frame, from 0 for the first one.
            frame: The frame.
            masks: The masks of all objects on the frame.

        Returns:
            The masks of the objects that are tracked on, with new ones.
        """
        self._count(_list_visible(masks))
        self._drop(key for key in masks.object_ids if self._hidden_frames[key] >= self._options.patience)
        masks = self._select_tracked(masks)
        if frame.corrupt:
            return masks
        generates = position // self._options.every > self._last // self._options.every
        self._last = position
        if not generates:
            return masks
        self._drop(_find_duplicates(masks))
        masks = self._select_tracked(masks)
        prompts = self._generate_prompts(masks, frame.image)
        if not prompts:
            return masks
        self._tracker.prompt(position, prompts, frame.image)
        masks = self._tracker.step(position, frame.image)  # computes nothing: all results on this frame are current
        self._count({key: visible for key, visible in _list_visible(masks).items() if key in prompts})
        return masks

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

    def _drop(self, object_ids: Iterable[int]) -> None:
        for key in [*object_ids]:
            self._tracker.remove_object(key)
            del self._hidden_frames[key]


def _list_visible(masks: Masks) -> dict[int, bool]:
    """Return whether the mask of each object has pixels, by object id."""
    return dict(zip(masks.object_ids, [bool(mask.any()) for mask in masks.binary], strict=True))


def _find_duplicates(masks: Masks) -> list[int]:
    """Find the objects that duplicate an older object. Ids ascend, so of two objects the later one is younger."""
    overlaps = np.triu(masks.iou(masks), 1) > _DUPLICATE_IOU
    return [masks.object_ids[position] for position in np.flatnonzero(overlaps.any(axis=0))]

"""Everything in a video: what is there is followed, what comes later gets an id of its own, what is gone ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend
from masklet.errors import SettingsError
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_masks
from masklet.prompts import Prompt, mask
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.tracker import Tracker

if TYPE_CHECKING:
    from masklet.video import Frame

SAME = 0.8  # the mask IoU above which two objects have become one, and the younger ends

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class AutoTrackOptions:
    """How to look for everything in a video. Raises `SettingsError` for what cannot be meant.

    - `search`: how to look on one frame.
    - `every`: frames from one look to the next; the first frame is always looked at.
    - `uncovered`: a finding is new if at least this share of it is covered by nothing that is followed.
    - `patience`: an object that was not seen for so many frames ends; what comes back after that gets a new id.
    - `most`: so many objects are followed at once; the surest findings come first, the others wait for room.
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
            raise SettingsError("bad-usage", f"min_uncovered must be above 0 and at most 1, got {self.min_uncovered}")

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON values, by the keys that job logs have."""
        values = {_KEYS.get(name, name): value for name, value in asdict(self).items()}
        grids = self.mask_generator.point_grids
        values["search"]["point_grids"] = None if grids is None else [grid.tolist() for grid in grids]
        return values


_KEYS = {"mask_generator": "search", "min_uncovered": "uncovered", "max_objects": "most"}
"""Options by the keys of job logs, where they differ."""


class AutoTracker:
    """Follows everything through frames that come in order, over a tracker that nobody else prompts.

    Ids count from 1 and are never given twice. Whatever it holds is of the objects that are followed now, at most
    `most`, so that memory does not grow with the number of frames.
    """

    def __init__(self, tracker: Tracker, watch: AutoTrackOptions, before: Iterable[RleFrame] = ()) -> None:
        """`before` are the frames that the tracker has behind it, where it goes on with what was stopped."""
        self._tracker, self._watch = tracker, watch
        self._next = 1
        self._unseen: dict[int, int] = {}  # frames since each object was seen
        self._last = -1  # place of the last frame that could be looked at
        for place, frame in enumerate(before):
            if not frame.corrupt:
                self._last = place
                self._count({one.object_id: rle.compute_area(one.rle) > 0 for one in frame})
        self._unseen = {key: count for key, count in self._unseen.items() if key in tracker.tracks}

    def step(self, place: int, frame: Frame) -> Masks:
        """The masks of all objects on the next frame, `place` frames after the first, after a look for new ones where
        one is due. Nothing new is looked for in what could not be decoded, but on the next frame that could."""
        masks = self._followed(place, frame.image)
        if frame.corrupt:
            return masks
        due = place // self._watch.every > self._last // self._watch.every
        self._last = place
        if not due:
            return masks
        self._end(_doubled(masks))
        masks = self._living(masks)
        new = self._new(masks, frame.image)
        if not new:
            return masks
        self._tracker.prompt(place, new, frame.image)
        masks = self._tracker.step(place, frame.image)  # computes nothing: what was followed stands, and so do prompts
        self._count({key: there for key, there in _seen(masks).items() if key in new})
        return masks

    def _followed(self, place: int, image: Image) -> Masks:
        """The masks of the objects that are still there."""
        if not self._tracker.tracks:
            return Masks.empty((image.shape[0], image.shape[1]))
        masks = self._tracker.step(place, image)
        self._count(_seen(masks))
        self._end(key for key in masks.object_ids if self._unseen[key] >= self._watch.patience)
        return self._living(masks)

    def _new(self, masks: Masks, image: Image) -> dict[int, Prompt]:
        """What is not followed yet, as prompts of objects with ids of their own."""
        covered = np.asarray(masks.binary.any(axis=0))
        room = self._watch.max_objects - len(masks)
        new: dict[int, Prompt] = {}
        if room <= 0 or covered.all():
            return new
        for one in generate_masks(self._tracker.backend, image, self._watch.mask_generator, region=~covered):
            found = rle.decode(one.rle)
            if np.count_nonzero(found & ~covered) >= self._watch.min_uncovered * one.area:
                new[self._next + len(new)] = mask(found)
                covered |= found
            if len(new) == room:
                break
        return new

    def _living(self, masks: Masks) -> Masks:
        """The masks without those of objects that have ended."""
        kept = [place for place, key in enumerate(masks.object_ids) if key in self._tracker.tracks]
        return masks if len(kept) == len(masks) else masks[kept]

    def _count(self, seen: dict[int, bool]) -> None:
        for key, there in seen.items():
            self._unseen[key] = 0 if there else self._unseen.get(key, 0) + 1
            self._next = max(self._next, key + 1)

    def _end(self, object_ids: Iterable[int]) -> None:
        for key in [*object_ids]:
            self._tracker.remove_object(key)
            del self._unseen[key]


def auto_track(
    backend: Backend, frames: Iterable[Frame], options: AutoTrackOptions, *, length: int | None = None
) -> Iterator[TrackedFrame]:
    """Everything in frames that come once and in order; `length` is their number where it is known."""
    watcher = AutoTracker(Tracker(backend, length=length, disk_cache=DiskCache(0)), options)
    for place, frame in enumerate(frames):
        yield TrackedFrame(frame.index, frame.time, watcher.step(place, frame))


def _seen(masks: Masks) -> dict[int, bool]:
    """Whether there is anything of each object."""
    return dict(zip(masks.object_ids, [bool(one.any()) for one in masks.binary], strict=True))


def _doubled(masks: Masks) -> list[int]:
    """The objects whose mask is that of an older one."""
    overlaps = np.triu(masks.iou(masks), 1) > SAME  # ids ascend: whoever comes later is younger
    return [masks.object_ids[place] for place in np.flatnonzero(overlaps.any(axis=0))]

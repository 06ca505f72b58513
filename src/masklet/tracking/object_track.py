"""Track of one object: its prompts, results and memories by frame."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from masklet.backend import Backend, Decoded, Memory, Recall
from masklet.masks.crop import Crop
from masklet.memory.memory_bank import NO_RECORD, build_recall
from masklet.memory.policy import MemoryPolicy, Past, Record, Selection
from masklet.prompts import Prompt
from masklet.tracking.disk_cache import DiskCache, SpilledDict
from masklet.views.found_mask import FoundMask

_MAX_UNCERTAINTIES = 64  # frames per object, those with the highest uncertainty


class ObjectResult(NamedTuple):
    """Result of one object on one frame, and what it was computed from.

    Attributes:
        decoded: The decoder's output.
        direction: Direction in which the frame was last tracked, 1 or −1; 0 if it was only prompted.
        basis: Hash of the results whose memories were recalled.
        stamp: Number of this result; no other result of the tracker has it.
        region: Part of the frame that the logits cover; None is the whole frame.
        others: Further hypotheses, in the order of the memory policy.
    """

    decoded: Decoded
    direction: int
    basis: int
    stamp: int
    region: Crop | None = None
    others: tuple[Decoded, ...] = ()

    def find_mask(self, backend: Backend, size: tuple[int, int]) -> FoundMask:
        """Return the mask as it was found on a frame of `size` (H, W)."""
        return FoundMask.of(backend, self.decoded, self.region, size)


@dataclass(slots=True)
class ObjectTrack:
    """One object of a tracker.

    Attributes:
        policy: Rules that select memories.
        length: Number of frames of the video, if it is known.
        results: Results by frame.
        recent: Memories of tracked frames, one per hypothesis.
        prompted: Memories of prompted frames, which are permanent.
        prompts: Prompts by frame.
        records: Records of the hypotheses by frame, if the policy keeps them.
        uncertainties: Uncertainty of the most uncertain masks, by frame.
        label: Label of the object, the name of its class.
        frames: Frames that were prompted or tracked, sorted.
    """

    policy: MemoryPolicy
    length: int | None
    results: SpilledDict[ObjectResult]
    recent: SpilledDict[tuple[Memory, ...]]
    prompted: dict[int, Memory] = field(default_factory=dict)
    prompts: dict[int, Prompt] = field(default_factory=dict)
    records: dict[int, tuple[Record, ...]] = field(default_factory=dict)
    uncertainties: dict[int, float] = field(default_factory=dict)
    label: str | None = None
    frames: list[int] = field(default_factory=list)
    _hypotheses: list[Hypothesis] = field(default_factory=list, init=False, repr=False)
    _listed_for: tuple[int, int] | None = field(default=None, init=False, repr=False)  # their frame and direction

    @classmethod
    def create(
        cls, object_id: int, backend: Backend, disk_cache: DiskCache, policy: MemoryPolicy, length: int | None
    ) -> ObjectTrack:
        """Create the track of an object without prompts."""

        def pack_memories(memories: tuple[Memory, ...]) -> list[Any]:
            return backend.store([array for memory in memories for array in memory])

        def unpack_memories(arrays: list[Any]) -> tuple[Memory, ...]:
            restored = backend.restore(arrays)
            return tuple(Memory(*pair) for pair in zip(restored[::2], restored[1::2], strict=True))

        def pack_result(result: ObjectResult) -> list[Any]:
            numbers = np.array([result.direction, result.basis, result.stamp, *(result.region or ())], np.int64)
            others = [array for decoded in result.others for array in decoded[:4]]
            return [*backend.store(result.decoded[:4]), numbers, *backend.store(others)]

        def unpack_result(arrays: list[Any]) -> ObjectResult:
            direction, basis, stamp, *region = arrays[4].tolist()
            decoded, *others = (Decoded(*backend.restore(part)) for part in (arrays[:4], *_split(arrays[5:], 4)))
            return ObjectResult(decoded, direction, basis, stamp, Crop(*region) if region else None, tuple(others))

        return cls(
            policy=policy,
            length=length,
            recent=SpilledDict(disk_cache, (object_id, "memory"), pack_memories, unpack_memories),
            results=SpilledDict(disk_cache, (object_id, "result"), pack_result, unpack_result),
        )

    def add_tracked(
        self, frame: int, result: ObjectResult, memories: tuple[Memory, ...], records: tuple[Record, ...]
    ) -> None:
        """Add the result of a tracked frame and the memories of its hypotheses."""
        if self._listed_for != (frame, result.direction):
            self._listed_for = None  # they may recall the frame
        self.results[frame] = result
        self.recent[frame] = memories
        self.records |= {frame: records} if records else {}
        self.add_frame(frame)

    def add_prompted(
        self, frame: int, prompt: Prompt, result: ObjectResult, memory: Memory, record: Record | None
    ) -> None:
        """Add the result of a prompt and its memory, which tracking does not replace."""
        self.prompts[frame], self.results[frame], self.prompted[frame] = prompt, result, memory
        self.recent.pop(frame, None)
        self.records |= {} if record is None else {frame: (record,)}
        self.label = prompt.label or self.label
        self.add_frame(frame)
        self._listed_for = None

    def add_frame(self, frame: int) -> None:
        """Note that a frame was prompted or tracked."""
        position = bisect_left(self.frames, frame)
        if position == len(self.frames) or self.frames[position] != frame:
            self.frames.insert(position, frame)

    def forget(self, frame: int) -> None:
        """Forget the prompt of a frame, its memories and its result."""
        self.prompted.pop(frame, None)
        self._remove_frame(frame)

    def memory_of(self, frame: int, hypothesis: int = 0) -> Memory:
        """Return the memory of a prompted frame, or of a hypothesis on a tracked one."""
        return self.prompted[frame] if frame in self.prompted else self.recent[frame][hypothesis]

    def list_hypotheses(self, frame: int, direction: int) -> list[Hypothesis]:
        """List the hypotheses that a frame continues, tracked in a direction; the best is the first."""
        if self._listed_for != (frame, direction):
            best = Hypothesis(self, frame, direction, 0)
            others = range(1, len(best.last_records) if self.policy.chooses else 1)
            self._hypotheses = [best, *(Hypothesis(self, frame, direction, position) for position in others)]
            self._listed_for = (frame, direction)
        return self._hypotheses

    def nearest_frame(self, frame: int, direction: int) -> int:
        """Return the nearest frame that `frame` would recall; of two, the one that was tracked before it."""
        known = (t for t, _ in self.list_hypotheses(frame, direction)[0].sources if t in self.results)
        return min(known, key=lambda t: (abs(frame - t), (t - frame) * direction))

    def compute_basis(self, frame: int, direction: int) -> int:
        """Return a hash of the results whose memories `frame` would recall."""
        sources = dict.fromkeys(source for one in self.list_hypotheses(frame, direction) for source in one.sources)
        known = ((t, position, self.results[t].stamp) for t, position in sources if t in self.results)
        return hash(tuple(known if self.policy.chooses else ((t, stamp) for t, _, stamp in known)))

    def list_retained(self, frame: int, direction: int) -> set[int]:
        """List the tracked frames on which later frames depend once tracking in a direction has reached `frame`."""
        hypotheses = self.list_hypotheses(frame + direction, direction)
        return {t for one in hypotheses for t in (*one.last_frames, *one.retained_frames(frame))}

    def list_unreachable(self, frames: Iterable[int], frame: int, direction: int) -> list[int]:
        """List those of some frames that can be dropped once tracking in a direction has reached `frame`."""
        retained = self.list_retained(frame, direction)
        return [t for t in frames if (frame - t) * direction > 0 and t not in retained and t not in self.prompts]

    def iterate_behind(self, frame: int, direction: int) -> Iterator[int]:
        """Iterate over the prompted and tracked frames behind a frame, the nearest first."""
        if direction > 0:
            return islice(reversed(self.frames), len(self.frames) - bisect_left(self.frames, frame), None)
        return islice(self.frames, bisect_right(self.frames, frame), None)

    def drop(self, frame: int) -> None:
        """Drop the result and the memories of a tracked frame that is not recalled again."""
        for direction in (1, -1) if frame in self.records else ():
            self._map_parents(frame, direction, [record.find_parent(direction) for record in self.records[frame]])
        self._remove_frame(frame)

    def spill(self, frame: int, direction: int) -> None:
        """Move what neither `frame` nor later frames recall to the disk cache."""
        in_memory = {*self.recent.in_memory, *self.results.in_memory}
        for other in self.list_unreachable(in_memory, frame - direction, direction):
            for values in (self.recent, self.results):
                if other in values.in_memory:
                    values.spill(other)
        self._listed_for = None  # other objects may drop from the disk cache what these recall

    def note_uncertainty(self, frame: int, uncertainty: float) -> None:
        """Keep the uncertainty of the mask on a frame, if it is among the highest ones."""
        self.uncertainties[frame] = uncertainty
        if len(self.uncertainties) > _MAX_UNCERTAINTIES:
            del self.uncertainties[min(self.uncertainties, key=self.uncertainties.__getitem__)]

    def settle(self, frame: int, direction: int, stamps: Iterator[int]) -> list[int]:
        """Make the best hypothesis on a frame the result of the frames that led to it, and return those that change."""
        changed = []
        best_path = Hypothesis(self, frame + direction, direction, 0)
        for other, _ in best_path.iterate_tracked():
            position = best_path.position_at(other)
            if position and other in self.results:
                records, memories, result = self.records[other], self.recent[other], self.results[other]
                order = [position, *(k for k in range(len(records)) if k != position)]
                best, *others = ((result.decoded, *result.others)[k] for k in order)
                self.results.replace(other, result._replace(decoded=best, others=tuple(others), stamp=next(stamps)))
                self.recent.replace(other, tuple(memories[k] for k in order))
                self.records[other] = tuple(records[k] for k in order)
                self._map_parents(other, direction, [order.index(k) for k in range(len(order))])
                changed.append(other)
        self._listed_for = None
        return changed

    def _remove_frame(self, frame: int) -> None:
        """Remove everything that tracking gave a frame."""
        for values in (self.recent, self.results, self.records):
            values.pop(frame, None)
        del self.frames[bisect_left(self.frames, frame) : bisect_right(self.frames, frame)]
        self._listed_for = None

    def _map_parents(self, frame: int, direction: int, positions: Sequence[int]) -> None:
        """Change the parents of the hypotheses that continue those of a frame to `positions[parent]`."""
        later = next(self.iterate_behind(frame, -direction), frame)
        parents = dict(enumerate(positions))
        if later != frame and later in self.records:
            self.records[later] = tuple(
                record._replace(parent=parents.get(record.parent, positions[0]), direction=direction)
                if record.direction == direction or (not record.direction and positions[0])
                else record
                for record in self.records[later]
            )


class Hypothesis:
    """Past of a track as a frame sees it, along one of the hypotheses of the frame before."""

    def __init__(self, track: ObjectTrack, frame: int, direction: int, position: int) -> None:
        self.frame, self.direction = frame, direction
        self._track, self._position = track, position
        self._positions: dict[int, int] = {}  # among the hypotheses of each visited frame

    @cached_property
    def selection(self) -> Selection:
        """What the policy selects."""
        return self._track.policy.select(self._see_past(), self.frame, self.direction)

    @cached_property
    def sources(self) -> list[tuple[int, int]]:
        """Frames on whose results the frame depends, each with the position of the hypothesis there."""
        frames = [t for _, t in (*self.selection.slots, *self.selection.pointers)]
        frames += self.last_frames if self._track.policy.chooses else []
        return [(t, self._positions.get(t, 0)) for t in dict.fromkeys(frames)]

    @cached_property
    def last_frames(self) -> list[int]:
        """The nearest frame behind this one, tracked or prompted, or else the nearest prompted one."""
        behind = [t for t in self._track.prompted if (self.frame - t) * self.direction > 0]
        tracked = next((t for t, _ in self.iterate_tracked()), None)
        frames = [*behind, *([] if tracked is None else [tracked])] or [*self._track.prompted]
        return [min(frames, key=lambda t: abs(self.frame - t))] if frames else []

    @cached_property
    def last_records(self) -> tuple[Record, ...]:
        """Records of the hypotheses on the last frame."""
        return next((self._track.records[t] for t in self.last_frames if t in self._track.records), (NO_RECORD,))

    @property
    def last(self) -> Record:
        """Record of this hypothesis on the last frame."""
        return self.last_records[self._position]

    def retained_frames(self, frame: int) -> set[int]:
        """Return the tracked frames that frames after `frame` may recall."""
        return self._track.policy.retain(self._see_past(), frame, self.direction)

    def recall(self) -> Recall:
        """Return the selected memories."""
        frames = {t for _, t in (*self.selection.slots, *self.selection.pointers)}
        memories = {t: self._track.memory_of(t, self._positions.get(t, 0)) for t in frames}
        return build_recall(self.selection, memories.__getitem__)

    def position_at(self, frame: int) -> int:
        """Return the position of the hypothesis on a frame that was visited."""
        return self._positions.get(frame, 0)

    def iterate_tracked(self) -> Iterator[tuple[int, Record]]:
        """Walk back over the tracked frames that have memories, each with the record of the hypothesis there."""
        track, direction, position = self._track, self.direction, self._position
        for frame in track.iterate_behind(self.frame, direction):
            records = track.records.get(frame, (NO_RECORD,))
            position = position if position < len(records) else 0
            record = records[position]
            if frame in track.recent:
                self._positions[frame] = position
                yield frame, record
            position = record.find_parent(direction)

    def _see_past(self) -> Past:
        records = self._track.records
        prompted = {t: records[t][0] if t in records else NO_RECORD for t in self._track.prompted}
        return Past(prompted, self.iterate_tracked, self._track.length)


def _split(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]

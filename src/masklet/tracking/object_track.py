"""Track of one object: its prompts, results and memories by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
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
        return FoundMask(self.region, size, self.decoded.logits, lambda: backend.fetch([self.decoded]).logits[0])


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
        span: From the first to the last tracked frame.
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
    span: range = range(0)

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
        self.results[frame] = result
        self.recent[frame] = memories
        self.records |= {frame: records} if records else {}
        self.extend(frame)

    def add_prompted(
        self, frame: int, prompt: Prompt, result: ObjectResult, memory: Memory, record: Record | None
    ) -> None:
        """Add the result of a prompt and its memory, which tracking does not replace."""
        self.prompts[frame], self.results[frame], self.prompted[frame] = prompt, result, memory
        self.recent.pop(frame, None)
        self.records |= {} if record is None else {frame: (record,)}
        self.label = prompt.label or self.label

    def forget(self, frame: int) -> None:
        """Drop the memories and the result of a frame."""
        self.prompted.pop(frame, None)
        self.recent.pop(frame, None)
        self.results.pop(frame, None)
        self.records.pop(frame, None)

    def extend(self, frame: int) -> None:
        """Extend the span of tracked frames."""
        self.span = (
            range(min(self.span.start, frame), max(self.span.stop, frame + 1)) if self.span else range(frame, frame + 1)
        )

    def memory_of(self, frame: int, hypothesis: int = 0) -> Memory:
        """Return the memory of a prompted frame, or of a hypothesis on a tracked one."""
        return self.prompted[frame] if frame in self.prompted else self.recent[frame][hypothesis]

    def list_hypotheses(self, frame: int, direction: int) -> list[Hypothesis]:
        """List the hypotheses that a frame continues, tracked in a direction; the best is the first."""
        past = Hypothesis(self, frame, direction, 0)
        if not self.policy.chooses:
            return [past]
        return [Hypothesis(self, frame, direction, index) for index in range(len(past.last_records))]

    def nearest_frame(self, frame: int, direction: int) -> int:
        """Return the nearest frame that `frame` would recall; of two, the one that was tracked before it."""
        hypothesis = Hypothesis(self, frame, direction, 0)
        frames = {*hypothesis.recalled_frames, *(hypothesis.last_frames if self.policy.chooses else ())}
        known = [t for t in frames if t in self.results]
        nearest: int = min(known, key=lambda t: (abs(frame - t), (t - frame) * direction))
        return nearest

    def compute_basis(self, frame: int, direction: int) -> int:
        """Return a hash of the results whose memories `frame` would recall."""
        frames = dict.fromkeys(
            t
            for hypothesis in self.list_hypotheses(frame, direction)
            for t in (*hypothesis.recalled_frames, *(hypothesis.last_frames if self.policy.chooses else ()))
        )
        return hash(tuple((t, self.results[t].stamp) for t in frames if t in self.results))

    def list_unreachable(self, frames: Iterable[int], frame: int, direction: int) -> list[int]:
        """List those of some frames that no later frame recalls once tracking in a direction has reached `frame`."""
        retained = {t for one in self.list_hypotheses(frame + direction, direction) for t in one.retained_frames(frame)}
        return [t for t in frames if (frame - t) * direction > 0 and t not in retained and t not in self.prompts]

    def drop(self, frame: int) -> None:
        """Drop the result and the memories of a tracked frame that is not recalled again."""
        for values in (self.recent, self.results, self.records):
            values.pop(frame, None)

    def spill(self, frame: int, direction: int) -> None:
        """Move what frames after `frame` do not recall to the disk cache."""
        for values in (self.recent, self.results):
            for other in self.list_unreachable(values.in_memory, frame, direction):
                values.spill(other)

    def note_uncertainty(self, frame: int, uncertainty: float) -> None:
        """Keep the uncertainty of the mask on a frame, if it is among the highest ones."""
        self.uncertainties[frame] = uncertainty
        if len(self.uncertainties) > _MAX_UNCERTAINTIES:
            del self.uncertainties[min(self.uncertainties, key=self.uncertainties.__getitem__)]

    def settle(self, frame: int, direction: int, stamps: Iterator[int]) -> list[int]:
        """Make the best hypothesis on a frame the result of the frames that led to it, and return those that change."""
        changed = []
        for other, _, index in Hypothesis(self, frame + direction, direction, 0).list_path():
            result = self.results.get(other)
            if index and result is not None:
                decoded = (result.decoded, *result.others)
                order = [index, *(k for k in range(len(decoded)) if k != index)]
                best, *others = (decoded[k] for k in order)
                self.results[other] = result._replace(decoded=best, others=tuple(others), stamp=next(stamps))
                self.recent[other] = tuple(self.recent[other][k] for k in order)
                self.records[other] = tuple(self.records[other][k] for k in order)
                changed.append(other)
        return changed


class Hypothesis:
    """Past of a track as a frame sees it, along one of the hypotheses of the frame before."""

    def __init__(self, track: ObjectTrack, frame: int, direction: int, index: int) -> None:
        self.frame, self.direction = frame, direction
        self._track, self._index = track, index
        self._indices: dict[int, int] = {}  # hypothesis by visited frame
        records = track.records
        self._past = Past(
            {t: records[t][0] if t in records else NO_RECORD for t in track.prompted}, self._list_tracked, track.length
        )
        self._selection: Selection | None = None

    @property
    def selection(self) -> Selection:
        """What the policy selects."""
        if self._selection is None:
            self._selection = self._track.policy.select(self._past, self.frame, self.direction)
        return self._selection

    @property
    def recalled_frames(self) -> list[int]:
        """Frames whose memories are recalled: the prompted ones, then the others, the nearest first."""
        frames = {t for _, t in (*self.selection.slots, *self.selection.pointers)}
        tracked = sorted((t for t in frames if t not in self._track.prompted), key=lambda t: abs(self.frame - t))
        return [*(t for t in self._track.prompted if t in frames), *tracked]

    @property
    def last_frames(self) -> list[int]:
        """The nearest frame behind this one, tracked or prompted, or else the nearest prompted one."""
        behind = [t for t in self._track.prompted if (self.frame - t) * self.direction > 0]
        tracked = next((t for t, _ in self._list_tracked()), None)
        frames = [*behind, *([] if tracked is None else [tracked])] or [*self._track.prompted]
        return [min(frames, key=lambda t: abs(self.frame - t))] if frames else []

    @property
    def last_records(self) -> tuple[Record, ...]:
        """Records of the hypotheses on the last frame."""
        return next((self._track.records[t] for t in self.last_frames if t in self._track.records), (NO_RECORD,))

    @property
    def last(self) -> Record:
        """Record of this hypothesis on the last frame."""
        return self.last_records[self._index]

    def retained_frames(self, frame: int) -> set[int]:
        """Return the tracked frames that frames after `frame` may recall."""
        return self._track.policy.retain(self._past, frame, self.direction)

    def recall(self) -> Recall:
        """Return the selected memories."""
        return build_recall(self.selection, lambda t: self._track.memory_of(t, self._indices.get(t, 0)))

    def list_path(self) -> Iterator[tuple[int, Record, int]]:
        """Walk back over the tracked frames with memories: frame, record, and position of the hypothesis there."""
        track, index = self._track, self._index
        span = track.span
        frames = (
            range(min(self.frame, span.stop) - 1, span.start - 1, -1)
            if self.direction > 0
            else range(max(self.frame + 1, span.start), span.stop)
        )
        for frame in frames:
            if frame in track.recent:
                records = track.records.get(frame, ())
                index = index if index < len(records) else 0
                record = records[index] if records else NO_RECORD
                yield frame, record, index
                index = record.parent
            elif frame in track.prompted:
                index = 0

    def _list_tracked(self) -> Iterator[tuple[int, Record]]:
        for frame, record, index in self.list_path():
            self._indices[frame] = index
            yield frame, record


def _split(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]

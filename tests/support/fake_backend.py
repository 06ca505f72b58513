"""Backend without a network: every result is a hash of all arguments of the call, so that any difference shows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.backend import NO_OBJECT, Candidates, Decoded, Features, Memory, Predictions, Query, Recall, pick_mask
from masklet.config import CONFIGS, ModelConfig
from masklet.masks.masks import Masks
from masklet.tracking.object_track import ObjectTrack
from masklet.tracking.tracker import Tracker

SIDE = 4  # of a low-res mask
PRIME = 1_000_003


def mix(*numbers: float) -> int:
    """Hash numbers and their order."""
    value = 7
    for number in numbers:
        value = (value * 31 + int(number)) % PRIME
    return value


def signature(array: NDArray[Any]) -> int:
    """Hash the contents of an array."""
    return crc32(np.ascontiguousarray(array, np.float64).tobytes()) % PRIME


@dataclass
class FakeBackend:
    """`Backend` whose features, pointers and memories are single numbers. `calls` lists methods and arguments."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    config: ModelConfig = field(default_factory=lambda: CONFIGS["sam2.1-micro"])
    input_size: int = 4 * SIDE
    identity: str = "fake"
    runtime: str = "fake"
    device: str = "cpu"
    dtype: str = "float32"

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        self.calls.append(("encode", len(images)))
        return [Features(*[np.array([[signature(image)]])] * 3) for image in images]

    def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
        recalled = [
            (
                [(slot, int(m.features[0, 0])) for slot, m in r.spatial],
                [(ago, int(m.pointer[0, 0])) for ago, m in r.pointers],
            )
            for r in recalls
        ]
        self.calls.append(("attend", recalled))
        scales = [[1e6 * scale for part in recall.scales or () for scale in part] for recall in recalls]
        numbers = [(*chain.from_iterable((*spatial, *pointers)),) for spatial, pointers in recalled]
        hashes = [
            [mix(features.stride16[0, 0], *one, recall.horizon, *factors)]
            for one, recall, factors in zip(numbers, recalls, scales, strict=True)
        ]
        return features._replace(stride16=np.array(hashes))

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        keys = self._hash(features, queries, hide)
        logits = np.stack([self._logits(key) for key in keys])
        iou = np.array([[(key % 97) / 97] for key in keys], np.float32)
        score = np.array([[1.0 if key % 5 else -1.0] for key in keys], np.float32)
        if hide:
            logits = np.where(score[..., None, None] > 0, logits, np.float32(NO_OBJECT))
        pointer = np.array([[key] for key in keys], np.int64)
        four = Candidates(logits.repeat(4, 1), iou.repeat(4, 1), score, pointer[:, None].repeat(4, 1))
        return Decoded(logits, iou, score, pointer, four)

    def use_masks(self, features: Features, masks: Sequence[NDArray[np.bool_]]) -> Decoded:
        self.calls.append(("use_masks", [mask.shape for mask in masks]))
        keys = [mix(features.stride16[0, 0], signature(mask)) for mask in masks]
        ones = np.ones((len(keys), 1), np.float32)
        return Decoded(
            np.stack([self._logits(key) for key in keys]), ones, 10 * ones, np.array([[key] for key in keys])
        )

    def select(self, decoded: Decoded, picks: Sequence[tuple[int, int | None]]) -> list[Decoded]:
        return [pick_mask(decoded, row, candidate) for row, candidate in picks]

    def memorize(self, features: Features, decoded: Sequence[Decoded], prompted: Sequence[bool]) -> list[Memory]:
        self.calls.append(("memorize", list(prompted)))
        return [
            Memory(
                np.array([[mix(features.stride16[0, 0], signature(result.logits[0]), hard)]]),
                result.pointer,
            )
            for result, hard in zip(decoded, prompted, strict=True)
        ]

    def fetch(self, decoded: Sequence[Decoded | None]) -> Predictions:
        side = self.input_size // 4
        absent = (np.full((1, 1, side, side), NO_OBJECT, np.float32), np.zeros((1, 1)), np.full((1, 1), NO_OBJECT))
        logits, iou, score = zip(*(absent if result is None else result[:3] for result in decoded), strict=True)
        return Predictions(np.concatenate(logits)[:, 0], np.concatenate(iou)[:, 0], np.concatenate(score)[:, 0])

    def fetch_candidates(self, decoded: Decoded) -> Predictions:
        assert decoded.candidates is not None
        logits, iou, score, _ = decoded.candidates
        return Predictions(logits[:, 1:].reshape(-1, *logits.shape[2:]), iou[:, 1:].reshape(-1), score.repeat(3))

    def store(self, arrays: Sequence[Any]) -> list[NDArray[Any]]:
        return [np.asarray(array) for array in arrays]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        return list(arrays)

    def methods(self) -> list[str]:
        """The called methods, in order."""
        return [name for name, _ in self.calls]

    def _hash(self, features: Features, queries: Sequence[Query], hide: bool) -> list[int]:
        """Hash the arguments of `decode` for each query."""
        self.calls.append(("decode", [len(query.points) for query in queries]))
        hashes = np.broadcast_to(features.stride16, (len(queries), 1))
        return [
            mix(number, *query.points.reshape(-1) * 1e4, *query.labels, _mask(query.mask), query.ambiguous, hide)
            for number, query in zip(hashes[:, 0], queries, strict=True)
        ]

    @staticmethod
    def _logits(key: int) -> NDArray[np.float32]:
        return np.random.RandomState(key).standard_normal((1, SIDE, SIDE)).astype(np.float32)


@dataclass
class VariedBackend(FakeBackend):
    """Backend whose four candidates differ: rectangles around one place, some with a second part, some empty.

    An object is hidden on a sixth of the frames.
    """

    input_size: int = 64

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        keys = self._hash(features, queries, hide)
        drawn = [_draw_candidates(key, self.input_size // 4) for key in keys]
        logits, iou, score, pointers = (np.stack(part) for part in zip(*drawn, strict=True))
        if hide:
            logits = np.where(score[..., None, None] > 0, logits, np.float32(NO_OBJECT))
        best = 1 + iou[:, 1:].argmax(axis=1)
        masks, ious, own_pointers = (part[range(len(keys)), best] for part in (logits, iou, pointers))
        return Decoded(masks[:, None], ious[:, None], score, own_pointers, Candidates(logits, iou, score, pointers))

    def use_masks(self, features: Features, masks: Sequence[NDArray[np.bool_]]) -> Decoded:
        side = self.input_size // 4
        resized = [cv2.resize(np.float32(one), (side, side), interpolation=cv2.INTER_AREA) for one in masks]
        logits = np.where(np.stack(resized)[:, None] > 0.25, np.float32(4), np.float32(-4))
        return super().use_masks(features, masks)._replace(logits=logits)


@cache
def _draw_candidates(key: int, side: int) -> tuple[NDArray[Any], ...]:
    """Draw logits (4, side, side), predicted IoUs (4,), an object score (1,) and pointers (4, 1)."""
    number = random.Random(key)
    logits = np.full((4, side, side), np.float32(-4 - number.random()))
    left, top = number.randrange(side - 5), number.randrange(side - 5)
    for one in logits:
        x, y = left + number.randrange(2), top + number.randrange(2)
        one[y : y + number.randint(3, 4), x : x + number.randint(3, 4)] = 4 + number.random()
        if number.random() < 0.3:
            one[number.randrange(side), number.randrange(side)] = 3
        if number.random() < 0.05:
            one[:] = -5
    iou = np.float32([round(number.uniform(0.3, 1), 2) for _ in range(4)])
    return logits, iou, np.float32([number.uniform(-1, 5)]), np.int64([[mix(key, row)] for row in range(4)])


def _mask(mask: Any) -> int:
    return 0 if mask is None else 1 + signature(mask)


class UnspilledTrack(ObjectTrack):
    """Track that keeps all frames in memory."""

    def spill(self, frame: int, direction: int) -> None:
        pass


class UnspilledTracker(Tracker):
    """Tracker that keeps all frames in memory."""

    def _create_track(self, object_id: int) -> ObjectTrack:
        return UnspilledTrack.create(object_id, self.backend, self.disk_cache, self.memory, self.length)


class RecomputingTracker(UnspilledTracker):
    """Tracker that computes every frame again, as the reference does."""

    def step(self, frame: int, image: object = None, *, direction: int = 1) -> Masks:
        for track in self.tracks.values():
            if frame in track.results and frame not in track.prompts:
                track.results[frame] = track.results[frame]._replace(basis=-7)
        return super().step(frame, image, direction=direction)

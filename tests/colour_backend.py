"""A backend that sees colours: an object is whatever has the colours that were clicked, now or in what it recalls.

Pictures are grey values as colours. An object keeps its mask as long as it keeps its colours; where it changes them it
is lost until it is clicked again. So what an evaluation must find can be worked out by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Answers, Candidates, Decoded, Features, Query
from masklet.config import CONFIGS, ModelConfig
from masklet.memory import Memory, Recall
from masklet.prompts import BOTTOM_RIGHT, POSITIVE, TOP_LEFT

Colours = frozenset[int]


@dataclass
class ColourBackend:
    """`Backend` whose features are (picture, colours recalled) and whose pointers are sets of colours."""

    config: ModelConfig = field(default_factory=lambda: CONFIGS["sam2.1-micro"])
    size: int = 64
    identity: str = "colours"
    pictures_encoded: int = 0

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        self.pictures_encoded += len(images)
        return [Features(image[..., 0], None, [frozenset()]) for image in images]

    def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
        memories = [[memory for _, memory in recall.spatial] for recall in recalls]
        return features._replace(stride16=[frozenset().union(*(m.pointer for m in known)) for known in memories])

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        known = features.stride16 if len(features.stride16) == len(queries) else features.stride16 * len(queries)
        return self._decoded(features.stride4, [_colours(features.stride4, *pair) for pair in zip(known, queries)])

    def adopt(self, features: Features, masks: Sequence[NDArray[np.bool_]]) -> Decoded:
        return self._decoded(features.stride4, [frozenset(np.unique(features.stride4[mask]).tolist()) for mask in masks])

    def memorize(self, features: Features, decoded: Decoded, prompted: Sequence[bool]) -> list[Memory]:
        return [Memory(None, colours) for colours in decoded.pointer]

    def fetch(self, decoded: Sequence[Decoded | None]) -> Answers:
        shape = next(one.logits.shape for one in decoded if one is not None)
        logits = [np.full(shape[1:], -10.0, np.float32) if one is None else one.logits[0] for one in decoded]
        if len(decoded) == 1 and decoded[0] is not None:
            logits = list(decoded[0].logits)
        ones = np.ones(len(logits), np.float32)
        return Answers(np.stack(logits)[:, 0], ones, ones)

    def fetch_candidates(self, decoded: Decoded) -> Answers:
        raise AssertionError("evaluation asks for one mask")

    def store(self, arrays: Sequence[Any]) -> list[NDArray[Any]]:
        return [np.array([array], object) if array is None or isinstance(array, frozenset | tuple) else array for array in arrays]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        return list(arrays)

    def _decoded(self, picture: NDArray[np.uint8], colours: list[Colours]) -> Decoded:
        masks = np.stack([np.isin(picture, sorted(one)) for one in colours])
        logits = np.where(masks, np.float32(10), np.float32(-10))[:, None]
        ones = np.ones((len(colours), 1), np.float32)
        four = Candidates(logits.repeat(4, 1), ones.repeat(4, 1), ones, None)
        return Decoded(logits, ones, ones, _Rows(colours), four)

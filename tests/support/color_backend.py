"""Backend that segments by color: an object is all pixels of the colors that were clicked, now or on a recalled frame.

Colors are the gray values of an image. An object keeps its mask while it keeps its colors; if it changes them, it is
lost until it is clicked again. The results of an evaluation can therefore be worked out by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.backend import (
    NO_OBJECT,
    Candidates,
    Decoded,
    Features,
    Memory,
    Predictions,
    Query,
    Recall,
    pick_mask,
    split_rows,
)
from masklet.config import CONFIGS, ModelConfig

Colors = NDArray[np.bool_]  # (256,): whether each gray value belongs to the object


@dataclass
class ColorBackend:
    """`Backend` with the image as `stride4`, the recalled colors as `stride16`, and colors as pointers."""

    config: ModelConfig = field(default_factory=lambda: CONFIGS["sam2.1-micro"])
    input_size: int = 64
    identity: str = "colors"
    runtime: str = "fake"
    device: str = "cpu"
    dtype: str = "float32"
    encoded: int = 0

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        self.encoded += len(images)
        return [Features(image[..., 0], None, np.zeros((1, 256), bool)) for image in images]

    def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
        known = [[memory.pointer[0] for _, memory in recall.spatial] for recall in recalls]
        return features._replace(
            stride16=np.stack([np.any([np.zeros(256, bool), *colors], axis=0) for colors in known])
        )

    def join(self, features: Sequence[Features]) -> Features:
        return Features([one.stride4 for one in features], None, np.concatenate([one.stride16 for one in features]))

    def split(self, decoded: Decoded, counts: Sequence[int]) -> list[Decoded]:
        return split_rows(decoded, counts)

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        if isinstance(features.stride4, list):  # of several images, one query each
            rows = zip(features.stride4, features.stride16, queries, strict=True)
            return _stack([self.decode(Features(image, None, known[None]), [query]) for image, known, query in rows])
        known = np.broadcast_to(features.stride16, (len(queries), 256))
        return _decode_colors(
            features.stride4, [_prompted_colors(features.stride4, *pair) for pair in zip(known, queries, strict=True)]
        )

    def use_masks(self, features: Features, masks: Sequence[NDArray[np.bool_]]) -> Decoded:
        image = features.stride4
        return _decode_colors(image, [_colors_of(image[np.broadcast_to(mask, image.shape)]) for mask in masks])

    def select(self, decoded: Decoded, picks: Sequence[tuple[int, int | None]]) -> list[Decoded]:
        return [pick_mask(decoded, row, candidate) for row, candidate in picks]

    def memorize(self, features: Features, decoded: Sequence[Decoded], prompted: Sequence[bool]) -> list[Memory]:
        return [Memory(np.zeros((1, 1)), result.pointer) for result in decoded]

    def fetch(self, decoded: Sequence[Decoded | None]) -> Predictions:
        shape = next((result.logits.shape[1:] for result in decoded if result is not None), (1, 1, 1))
        absent = np.full((1, *shape), NO_OBJECT, np.float32), np.zeros((1, 1)), np.full((1, 1), NO_OBJECT)
        logits, iou, score = zip(*(absent if result is None else result[:3] for result in decoded), strict=True)
        return Predictions(np.concatenate(logits)[:, 0], np.concatenate(iou)[:, 0], np.concatenate(score)[:, 0])

    def fetch_candidates(self, decoded: Decoded) -> Predictions:
        raise AssertionError("evaluation predicts one mask per prompt")

    def store(self, arrays: Sequence[Any]) -> list[NDArray[Any]]:
        return [np.asarray(array) for array in arrays]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        return list(arrays)


def _stack(parts: Sequence[Decoded]) -> Decoded:
    """Join the results of single objects."""
    selected = [np.concatenate(arrays) for arrays in zip(*(part[:4] for part in parts), strict=True)]
    candidates = [part.candidates for part in parts if part.candidates is not None]
    if not candidates:
        return Decoded(*selected)
    return Decoded(*selected, Candidates(*(np.concatenate(arrays) for arrays in zip(*candidates, strict=True))))


def _prompted_colors(image: NDArray[np.uint8], known: Colors, query: Query) -> Colors:
    """Return the recalled colors, plus those clicked or in the middle of the box, minus those of negative clicks."""
    colors = known.copy()
    size = np.array(image.shape[::-1])
    pixels = np.clip((query.points * size).astype(int), 0, size - 1)
    for label in (1, 0):
        colors[[image[y, x] for (x, y), other in zip(pixels, query.labels, strict=True) if other == label]] = bool(
            label
        )
    corners = pixels[query.labels >= 2]
    if len(corners):
        x, y = corners.mean(axis=0).astype(int)
        colors[image[y, x]] = True
    if query.mask is not None and query.mask.dtype == bool:
        mask = np.asarray(Image.fromarray(query.mask).resize(image.shape[::-1], Image.Resampling.NEAREST))
        colors |= _colors_of(image[mask])
    return colors


def _colors_of(values: NDArray[np.uint8]) -> Colors:
    colors = np.zeros(256, bool)
    colors[values] = True
    return colors


def _decode_colors(image: NDArray[np.uint8], colors: Sequence[Colors]) -> Decoded:
    masks = np.stack([table[image] for table in colors])[:, None]
    logits = np.where(masks, np.float32(10), np.float32(-10))
    ones, pointers = np.ones((len(colors), 1), np.float32), np.stack(colors)
    return Decoded(
        logits,
        ones,
        ones,
        pointers,
        Candidates(logits.repeat(4, 1), ones.repeat(4, 1), ones, pointers[:, None].repeat(4, 1)),
    )

"""The seam over four graphs: pictures and objects in, numpy answers out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from masklet.backend import (
    NO_OBJECT,
    NO_PROMPT,
    Candidates,
    Decoded,
    Features,
    Memory,
    Predictions,
    Query,
    Recall,
    choose_masks,
    describe,
    group_recalls,
)
from masklet.backends.onnx import arrays
from masklet.backends.onnx.session import to_numpy
from masklet.config import ModelConfig
from masklet.errors import BackendError, CheckpointError
from masklet.onnx_graphs import GraphName

MAX_OBJECTS_PER_BATCH = 4  # that look at their memories together on a CPU: more are no faster, and take more room
MAX_PROMPTS_PER_BATCH = 16  # larger batches of prompts are decoded in turns, which bounds memory


class Graph(Protocol):
    """A graph that is called like a function: see `Session`."""

    def __call__(self, **inputs: Any) -> dict[str, Any]: ...


class RuntimeInfo(NamedTuple):
    """How graphs run, in a user's words."""

    device: str = "cpu"
    dtype: str = "float32"


class OnnxBackend:
    """`Backend` over the four graphs of one model and the position tables (`masklet.onnx_graphs.position_tables`)."""

    runtime = "onnx"

    def __init__(
        self,
        config: ModelConfig,
        input_size: int,
        identity: str,
        graphs: Mapping[GraphName, Graph],
        tables: Mapping[str, NDArray[np.float32]],
        runtime_info: RuntimeInfo | None = None,
    ) -> None:
        self.config = config
        self.input_size = input_size
        self.identity = identity
        self.graphs, self.tables = graphs, tables
        self.device, self.dtype = runtime_info or RuntimeInfo()

    def __repr__(self) -> str:
        return f"OnnxBackend({describe(self)})"

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        return [self._encoded(image) for image in images]

    def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
        groups = group_recalls(recalls, MAX_OBJECTS_PER_BATCH if self.device == "cpu" else len(recalls))
        parts = [self._attended(features, [recalls[k] for k in group]) for group in groups]
        if len(parts) == 1:
            return features._replace(stride16=parts[0])
        rows = [
            np.broadcast_to(to_numpy(part), (len(group), *to_numpy(part).shape[1:]))
            for part, group in zip(parts, groups, strict=True)
        ]
        return features._replace(stride16=np.concatenate(rows)[np.argsort(np.concatenate(groups))])

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        turns = [self._decoded(*turn) for turn in _turns(features, queries)]
        logits, iou, score, pointers = (np.concatenate(parts) for parts in zip(*turns, strict=True))
        if hide:
            logits = np.where(score[..., None, None] > 0, logits, np.float32(NO_OBJECT))
        masks, tokens = choose_masks(
            iou, arrays.compute_stability(logits[:, 0]), [query.ambiguous for query in queries]
        )
        rows = np.arange(len(masks))
        return Decoded(
            logits[rows, masks][:, None],
            iou[rows, masks][:, None],
            score,
            pointers[rows, tokens],
            Candidates(logits, iou, score, pointers),
        )

    def use_masks(self, features: Features, masks: Sequence[NDArray[np.bool_]]) -> Decoded:
        full = np.concatenate([arrays.resize_mask(mask, self.input_size) for mask in masks])
        fours = full.reshape(len(full), self.input_size // 4, 4, self.input_size // 4, 4)
        prompts = np.einsum("nyaxb,ab->nyx", fours, self.tables["mask_weight"]) + self.tables["mask_bias"]
        points = arrays.batch_points([NO_PROMPT] * len(masks))
        pointers = self._run_decode(features, points, prompts[:, None], np.ones(len(full), bool)).pointers
        visible = full.reshape(len(full), -1).any(axis=1, keepdims=True)
        score = np.where(visible, np.float32(10), np.float32(-10))
        pointer = np.where(visible, pointers[:, 0], self.tables["no_pointer"])  # mixed twice (reference-model §12, G14)
        return Decoded(arrays.masks_to_logits(full), np.ones_like(score), score, pointer)

    def memorize(self, features: Features, decoded: Decoded, prompted: Sequence[bool]) -> list[Memory]:
        maps = self.graphs["memorize"](
            stride16=features.stride16,
            logits=np.asarray(decoded.logits),
            score=np.asarray(decoded.object_score),
            binarize=np.array(prompted, bool),
        )["memories"]
        side = self.input_size // 16
        _check("memories", maps, len(prompted), self.config.memory_channels, side, side)
        kept = arrays.to_bfloat16(to_numpy(maps).astype(np.float32))
        return [Memory(kept[k : k + 1].copy(), decoded.pointer[k : k + 1].copy()) for k in range(len(kept))]

    def fetch(self, decoded: Sequence[Decoded | None]) -> Predictions:
        present = [self._absent() if one is None else map(arrays.from_bfloat16, one[:3]) for one in decoded]
        logits, iou, score = (np.concatenate(parts)[:, 0] for parts in zip(*present, strict=True))
        return _answers(logits, iou, score)

    def fetch_candidates(self, decoded: Decoded) -> Predictions:
        assert decoded.candidates is not None, "an adopted mask has no candidates"
        logits, iou, score, _ = decoded.candidates
        return _answers(logits[:, 1:].reshape(-1, *logits.shape[2:]), iou[:, 1:].ravel(), score.repeat(3))

    def store(self, arrays: Sequence[Any]) -> list[NDArray[Any]]:
        return [np.asarray(array) for array in arrays]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        return list(arrays)

    def _encoded(self, image: NDArray[np.uint8]) -> Features:
        found = self.graphs["encode"](images=arrays.normalize_image(image, self.input_size))
        features = Features(*(found[name] for name in Features._fields))
        for name, part, stride, share in zip(Features._fields, features, (4, 8, 16), (8, 4, 1), strict=True):
            _check(name, part, 1, self.config.channels // share, self.input_size // stride, self.input_size // stride)
        return features

    def _attended(self, features: Features, recalls: Sequence[Recall]) -> Any:
        """The features as objects see them that have equally many memories: (N, C, h, w), or (1, …) with none."""
        if not recalls[0]:
            return to_numpy(features.stride16) + self.tables["no_memory"]
        seen = self.graphs["attend"](stride16=features.stride16, **arrays.batch_memories(recalls))["attended"]
        _check("attended", seen, len(recalls), self.config.channels, self.input_size // 16, self.input_size // 16)
        return seen

    def _decoded(self, features: Features, queries: Sequence[Query]) -> Candidates:
        given = [query.mask is not None for query in queries]
        if not any(given):  # one mask that counts for none: what does not depend on prompts is computed once
            empty = np.zeros((1, 1, self.input_size // 4, self.input_size // 4), np.float32)
            return self._run_decode(features, arrays.batch_points(queries), empty, np.zeros(1, bool))
        side = self.input_size // 4
        nothing = np.zeros((1, 1, side, side), np.float32)
        masks = [nothing if query.mask is None else arrays.encode_mask_prompt(query.mask, side) for query in queries]
        return self._run_decode(features, arrays.batch_points(queries), np.concatenate(masks), np.array(given))

    def _run_decode(
        self, features: Features, points: arrays.PointBatch, mask: NDArray[np.float32], masked: NDArray[np.bool_]
    ) -> Candidates:
        """The graph's answers, on the host."""
        found = self.graphs["decode"](**features._asdict(), **points._asdict(), mask=mask, masked=masked)
        count, side = len(points.labels), self.input_size // 4
        shapes = Candidates((4, side, side), (4,), (1,), (4, self.tables["no_pointer"].shape[1]))
        for name, shape in shapes._asdict().items():
            _check(name, found[name], count, *shape)
        return Candidates(*(to_numpy(found[name]).astype(np.float32, copy=False) for name in Candidates._fields))

    def _absent(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        side = self.input_size // 4
        nothing = np.zeros((1, 1), np.float32)
        return np.full((1, 1, side, side), NO_OBJECT, np.float32), nothing, nothing + np.float32(NO_OBJECT)


def _check(name: str, value: Any, *shape: int) -> None:
    """Raise `CheckpointError` unless what a graph gives out under a name has the shape that it has in every model."""
    found = value.shape if isinstance(value, np.ndarray) else tuple(value.shape())
    if found != shape:
        raise CheckpointError("onnx-broken", f"not a graph of a model: {name} has shape {found}, not {shape}")


def _answers(logits: NDArray[Any], iou: NDArray[Any], score: NDArray[Any]) -> Predictions:
    if not all(np.isfinite(array).all() for array in (logits, iou, score)):
        raise BackendError(
            "non-finite-output",
            "the network answered with NaN or infinity",
            hint="use a model that was exported with precision fp32",
        )
    return Predictions(logits, iou, score)


def _turns(features: Features, queries: Sequence[Query]) -> Iterator[tuple[Features, Sequence[Query]]]:
    """Queries a few at a time, with the features that their objects see, where these do not all see the same."""
    if len(queries) <= MAX_PROMPTS_PER_BATCH:
        yield features, queries
        return
    seen = to_numpy(features.stride16)
    for start in range(0, len(queries), MAX_PROMPTS_PER_BATCH):
        rows = slice(start, start + MAX_PROMPTS_PER_BATCH)
        yield features if len(seen) == 1 else features._replace(stride16=seen[rows]), queries[rows]

"""onnxruntime backend: images and objects → predictions, over ONNX graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from masklet.backend import (
    GIVEN_MASK_SCORE,
    MAX_PROMPTS_PER_BATCH,
    NO_OBJECT,
    NO_PROMPT,
    Backend,
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
    pick_mask,
    split_rows,
)
from masklet.backends.onnx import arrays
from masklet.backends.onnx.session import Array, to_numpy
from masklet.config import MASK_STRIDE, NUM_MASKS, STRIDE, STRIDES, ModelConfig
from masklet.errors import BackendError, CheckpointError, SettingsError
from masklet.low_memory import MemoryFallback
from masklet.onnx_graphs import GraphName

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, UInt8

P = ParamSpec("P")
R = TypeVar("R")

MAX_OBJECTS_PER_BATCH = 4  # that attend together on a CPU; more are no faster and take more memory


@runtime_checkable
class Graph(Protocol):
    """A graph that is called like a function, such as a `Session`."""

    def __call__(self, **inputs: Array) -> Mapping[str, Array]: ...


class RuntimeInfo(NamedTuple):
    """The device and dtype of the graphs, by the names that `masklet.load` takes."""

    device: str = "cpu"
    dtype: str = "float32"


def _with_fallback(
    method: Callable[Concatenate[OnnxBackend, P], R],
) -> Callable[Concatenate[OnnxBackend, P], R]:
    """Fall back when memory is full."""

    @wraps(method)
    def run(self: OnnxBackend, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fallback.run(lambda: method(self, *args, **kwargs))

    return run


class OnnxBackend(Backend[Array]):
    """`Backend` over the graphs of one model and its tables (`masklet.onnx_graphs.extract_tables`)."""

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
        self._runtime_info = runtime_info or RuntimeInfo()
        self.fallback = MemoryFallback()

    def __repr__(self) -> str:
        return f"OnnxBackend({describe(self)})"

    @property
    def device(self) -> str:
        """Name of the device that the graphs run on."""
        return self._runtime_info.device

    @property
    def dtype(self) -> str:
        """Name of the graphs' number format."""
        return self._runtime_info.dtype

    @_with_fallback
    def encode(self, images: Sequence[UInt8[NDArray[np.uint8], "_ _ 3"]]) -> list[Features[Array]]:
        return [self._encode_square(arrays.normalize_image(image, self.input_size)) for image in images]

    @_with_fallback
    def encode_normalized(self, images: Float[Array, "B 3 S S"]) -> Features[Array]:
        squares = to_numpy(images).astype(np.float32, copy=False)
        encoded = [self._encode_square(squares[k : k + 1]) for k in range(len(squares))]
        return Features(*(np.concatenate([*map(to_numpy, levels)]) for levels in zip(*encoded, strict=True)))

    @_with_fallback
    def attend(self, features: Features[Array], recalls: Sequence[Recall[Array]]) -> Features[Array]:
        count = len(recalls)
        at_once = self.fallback.limit(min(count, MAX_OBJECTS_PER_BATCH) if self.device == "cpu" else count)
        groups = group_recalls(recalls, at_once)
        parts = [self._attend_group(features, [recalls[k] for k in group]) for group in groups]
        if len(parts) == 1:
            return features._replace(stride16=parts[0])
        rows = [
            np.broadcast_to(to_numpy(part), (len(group), *to_numpy(part).shape[1:]))
            for part, group in zip(parts, groups, strict=True)
        ]
        return features._replace(stride16=np.concatenate(rows)[np.argsort(np.concatenate(groups))])

    @_with_fallback
    def decode(self, features: Features[Array], queries: Sequence[Query], *, hide: bool = False) -> Decoded[Array]:
        batches = [
            self._decode_batch(_select_rows(features, rows), queries[rows])
            for rows in self.fallback.split(len(queries), MAX_PROMPTS_PER_BATCH)
        ]
        logits, iou, score, pointers = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        if hide:
            logits = np.where(score[..., None, None] > 0, logits, np.float32(NO_OBJECT))
        offset, threshold = self.stability_rule
        stability = arrays.compute_stability(logits[:, 0], offset)
        masks, tokens = choose_masks(iou, stability, [query.ambiguous for query in queries], threshold)
        rows = np.arange(len(masks))
        return Decoded(
            logits[rows, masks][:, None],
            iou[rows, masks][:, None],
            score,
            pointers[rows, tokens],
            Candidates(logits, iou, score, pointers),
        )

    @_with_fallback
    def use_masks(self, features: Features[Array], masks: Sequence[Bool[NDArray[np.bool_], "_ _"]]) -> Decoded[Array]:
        batches = [self._use_batch(features, masks[rows]) for rows in self.fallback.split(len(masks))]
        logits, iou, score, pointer = map(np.concatenate, zip(*batches, strict=True))
        return Decoded(logits, iou, score, pointer)

    def select(self, decoded: Decoded[Array], picks: Sequence[tuple[int, int | None]]) -> list[Decoded[Array]]:
        return [pick_mask(decoded, row, candidate) for row, candidate in picks]

    def join(self, features: Sequence[Features[Array]]) -> Features[Array]:
        return Features(*(np.concatenate([*map(to_numpy, levels)]) for levels in zip(*features, strict=True)))

    def split(self, decoded: Decoded[Array], counts: Sequence[int]) -> list[Decoded[Array]]:
        return split_rows(decoded, counts)

    @_with_fallback
    def memorize(
        self, features: Features[Array], decoded: Sequence[Decoded[Array]], prompted: Sequence[bool]
    ) -> list[Memory[Array]]:
        stored = np.concatenate(
            [
                self._memorize_batch(features, decoded[rows], prompted[rows])
                for rows in self.fallback.split(len(decoded))
            ]
        )
        return [Memory(stored[k : k + 1].copy(), to_numpy(result.pointer).copy()) for k, result in enumerate(decoded)]

    def fetch(self, decoded: Sequence[Decoded[Array] | None]) -> Predictions:
        present = [
            self._hidden_object() if result is None else [arrays.from_bfloat16(to_numpy(part)) for part in result[:3]]
            for result in decoded
        ]
        logits, iou, score = (np.concatenate(parts)[:, 0] for parts in zip(*present, strict=True))
        return _to_predictions(logits, iou, score)

    def fetch_candidates(self, decoded: Decoded[Array]) -> Predictions:
        assert decoded.candidates is not None, "a mask that is used as given has no candidates"
        logits, iou, score, _ = map(to_numpy, decoded.candidates)
        three = logits[:, 1:].reshape(-1, *logits.shape[2:])
        return _to_predictions(three, iou[:, 1:].ravel(), score.repeat(NUM_MASKS - 1))

    def store(self, arrays: Sequence[Array]) -> list[NDArray[Any]]:
        return [to_numpy(array) for array in arrays]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> list[Array]:
        return list(arrays)

    def _use_batch(
        self, features: Features[Array], masks: Sequence[Bool[NDArray[np.bool_], "_ _"]]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return the fields of the result for one batch of masks."""
        squares = np.concatenate([arrays.resize_mask(mask, self.input_size) for mask in masks])
        side = self.input_size // MASK_STRIDE
        blocks = squares.reshape(len(squares), side, MASK_STRIDE, side, MASK_STRIDE)
        prompts = np.einsum("nyaxb,ab->nyx", blocks, self.tables["mask_weight"]) + self.tables["mask_bias"]
        points = arrays.batch_points([NO_PROMPT] * len(masks))
        pointers = self._run_decode(features, points, prompts[:, None], np.ones(len(squares), bool)).pointers
        visible = squares.reshape(len(squares), -1).any(axis=1, keepdims=True)
        score = np.where(visible, np.float32(GIVEN_MASK_SCORE), np.float32(-GIVEN_MASK_SCORE))
        # the second choice of pointers, after the one in the graph `decode` (reference-model §12, G14)
        pointer = np.where(visible, pointers[:, 0], self.tables["no_pointer"])
        return arrays.masks_to_logits(squares), np.ones_like(score), score, pointer

    def _memorize_batch(
        self, features: Features[Array], decoded: Sequence[Decoded[Array]], prompted: Sequence[bool]
    ) -> NDArray[np.uint16]:
        maps = self.graphs["memorize"](
            stride16=features.stride16,
            logits=np.concatenate([to_numpy(result.logits) for result in decoded]),
            score=np.concatenate([to_numpy(result.object_score) for result in decoded]),
            binarize=np.array(prompted, bool),
        )["memories"]
        _check_shape("memories", maps, len(prompted), *self.config.memory_shape(self.input_size))
        return arrays.to_bfloat16(to_numpy(maps).astype(np.float32))

    def _encode_square(self, square: Float32[NDArray[np.float32], "1 3 S S"]) -> Features[Array]:
        outputs = self.graphs["encode"](images=square)
        levels = []
        for name, stride, channels in zip(Features._fields, STRIDES, self.config.feature_channels, strict=True):
            shape = (1, channels, self.input_size // stride, self.input_size // stride)
            levels.append(outputs[name] if channels else np.zeros(shape, np.float32))
            _check_shape(name, levels[-1], *shape)
        return Features(*levels)

    def _attend_group(self, features: Features[Array], recalls: Sequence[Recall[Array]]) -> Array:
        """Attend for objects of one group: (N, C, h, w), or (1, C, h, w) without memories."""
        if not recalls[0]:
            return to_numpy(features.stride16) + self.tables["no_memory"]
        attend = self.graphs["attend"] if recalls[0].scales is None else self._scaled_graph()
        attended = attend(stride16=features.stride16, **arrays.batch_memories(recalls))["attended"]
        side = self.input_size // STRIDE
        _check_shape("attended", attended, len(recalls), self.config.channels, side, side)
        return attended

    def _scaled_graph(self) -> Graph:
        if "attend_scaled" not in self.graphs:
            raise SettingsError(
                "bad-usage",
                "the model was exported by version 0.1.0, without the graph that scales memories",
                hint="export the model again",
            )
        return self.graphs["attend_scaled"]

    def _decode_batch(self, features: Features[Array], queries: Sequence[Query]) -> Candidates[NDArray[np.float32]]:
        side, has_mask = self.input_size // MASK_STRIDE, [query.mask is not None for query in queries]
        empty = np.zeros((1, 1, side, side), np.float32)
        if not any(has_mask):  # with one mask for all prompts, the graph computes their common part once
            return self._run_decode(features, arrays.batch_points(queries), empty, np.zeros(1, bool))
        masks = [empty if query.mask is None else arrays.encode_mask_prompt(query.mask, side) for query in queries]
        return self._run_decode(features, arrays.batch_points(queries), np.concatenate(masks), np.array(has_mask))

    def _run_decode(
        self,
        features: Features[Array],
        points: arrays.PointBatch,
        mask: Float32[NDArray[np.float32], "masks 1 h w"],
        masked: Bool[NDArray[np.bool_], " masks"],
    ) -> Candidates[NDArray[np.float32]]:
        """Run the graph `decode` and copy its outputs to the host."""
        outputs = self.graphs["decode"](**features._asdict(), **points._asdict(), mask=mask, masked=masked)
        count, side, channels = len(points.labels), self.input_size // MASK_STRIDE, self.tables["no_pointer"].shape[1]
        shapes = ((NUM_MASKS, side, side), (NUM_MASKS,), (1,), (NUM_MASKS, channels))
        for name, shape in zip(Candidates._fields, shapes, strict=True):
            _check_shape(name, outputs[name], count, *shape)
        return Candidates(*(to_numpy(outputs[name]).astype(np.float32, copy=False) for name in Candidates._fields))

    def _hidden_object(self) -> list[NDArray[np.float32]]:
        """Return the logits (1, 1, h, w), IoU (1, 1) and score (1, 1) of an object that is not visible."""
        side = self.input_size // MASK_STRIDE
        zero = np.zeros((1, 1), np.float32)
        return [np.full((1, 1, side, side), NO_OBJECT, np.float32), zero, zero + np.float32(NO_OBJECT)]


def _check_shape(name: str, value: Array, *shape: int) -> None:
    """Raise `CheckpointError` unless the output `name` of a graph has the given shape."""
    actual = value.shape if isinstance(value, np.ndarray) else tuple(value.shape())
    if actual != shape:
        raise CheckpointError("onnx-broken", f"not a graph of a model: {name} has shape {actual}, not {shape}")


def _to_predictions(
    logits: Float[NDArray[Any], "N h w"], iou: Float[NDArray[Any], " N"], score: Float[NDArray[Any], " N"]
) -> Predictions:
    """Make predictions. Raises `BackendError` for NaN or infinity."""
    if not all(np.isfinite(array).all() for array in (logits, iou, score)):
        raise BackendError(
            "non-finite-output",
            "the network returned NaN or infinity",
            hint="use float32; if it is in use, the weights are too large or broken: use an earlier checkpoint",
        )
    return Predictions(logits, iou, score)


def _select_rows(features: Features[Array], rows: slice) -> Features[Array]:
    """Select the features of some objects; features that all objects share are returned unchanged."""
    count = _count_rows(features.stride16)
    if count == 1 or rows == slice(0, count):
        return features
    return Features(*(level if _count_rows(level) == 1 else to_numpy(level)[rows] for level in features))


def _count_rows(array: Array) -> int:
    return int(array.shape[0] if isinstance(array, np.ndarray) else array.shape()[0])

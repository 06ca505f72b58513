"""PyTorch backend: devices, dtypes, and batches of objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from masklet.backend import (
    GIVEN_MASK_SCORE,
    IMAGE_MEAN,
    IMAGE_STD,
    LOGIT_LIMIT,
    MASK_BIAS,
    MASK_SCALE,
    MASK_THRESHOLD,
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
from masklet.backends.torch_device import parse_dtype, select_device
from masklet.backends.torch_fork import FORK_GUARD
from masklet.checkpoints import key_names
from masklet.config import MASK_STRIDE, NOT_A_POINT, NUM_MASKS, ModelConfig, check_input_size
from masklet.errors import BackendError, ResourceError
from masklet.files.error_translation import translate_errors
from masklet.low_memory import MemoryFallback
from masklet.model.hiera import Hiera
from masklet.model.position_encoding import promote_to_float32
from masklet.model.sam2 import Sam2, select_pointers

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8

MEMORY_DTYPE = torch.bfloat16  # of stored memories, independent of the dtype of the model (reference-model §7.4)
# Limits that keep the working set in a CPU's caches: tokens of the trunk's tile stages, scores of memory attention, and
# masks that are memorized together (sixteen take a fifth longer than four at a time).
MAX_TILE_TOKENS = 8192
MAX_ATTENTION_SCORES = 1 << 21
MAX_MASKS_PER_BATCH = 4

P = ParamSpec("P")
R = TypeVar("R")


def build(
    config: ModelConfig,
    tensors: Mapping[str, NDArray[Any]],
    *,
    device: str | None = None,
    dtype: str | None = None,
    input_size: int | None = None,
) -> TorchBackend:
    """Build a PyTorch backend from weights.

    The network is created on the meta device, so no weight is initialized before it is replaced.

    Args:
        config: Configuration of the network.
        tensors: Weights by masklet's key names.
        device: PyTorch's name of a device, such as "cuda:1". Default: CUDA, else MPS, else the CPU.
        dtype: One of `masklet.backends.torch_device.DTYPES`. Default: "float32".
        input_size: Side of the network's square in pixels. Default: the size that the weights were trained for.

    Returns:
        A backend in inference mode.

    Raises:
        CheckpointError: The weights do not fit the configuration.
        SettingsError: `dtype` or `input_size` is invalid.
        ResourceError: The device does not exist or its memory is full.
        StateError: `forked-process`. The process was forked from one that has used PyTorch.
    """
    FORK_GUARD.check()
    torch_dtype = parse_dtype(dtype)
    with torch.device("meta"):
        model = Sam2(config)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    key_names.check_entries({name: value.shape for name, value in tensors.items()}, expected, config)
    state = {name: torch.from_numpy(value) for name, value in tensors.items()}
    model.load_state_dict(state, assign=True)
    fourier = model.prompt_encoder.fourier
    gaussian = fourier.gaussian
    with _translate_torch_errors():
        model = model.to(device=select_device(device), dtype=torch_dtype)
    # positions need more precision than bfloat16 has
    fourier.gaussian = gaussian.to(device=fourier.gaussian.device, dtype=promote_to_float32(torch_dtype))
    if model.no_pointer.device.type == "cpu":
        if isinstance(model.trunk, Hiera):
            model.trunk.tokens_at_once = MAX_TILE_TOKENS
        model.memory_attention.scores_at_once = MAX_ATTENTION_SCORES
    return TorchBackend(
        model.eval().requires_grad_(False),
        check_input_size(input_size or config.input_size, config),
        key_names.compute_identity(tensors, config.memory_pooling),
    )


_FULL_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
"""Words of errors that PyTorch raises when memory is full: on any device, on Linux, on Windows, in cuBLAS."""


def _memory_error(cause: RuntimeError) -> RuntimeError | ResourceError:
    """Translate PyTorch's error if the memory is full. Only those of some devices have a class of their own."""
    if not isinstance(cause, torch.OutOfMemoryError) and not any(word in str(cause).lower() for word in _FULL_MEMORY):
        return cause
    message = f"the device's memory is full: {str(cause).splitlines()[0]}"
    return ResourceError("out-of-memory", message, hint="choose a smaller input_size= or model, or dtype='bfloat16'")


_translate_torch_errors = partial(translate_errors, RuntimeError, torch.OutOfMemoryError, into=_memory_error)


def _inference(
    method: Callable[Concatenate[TorchBackend, P], R],
) -> Callable[Concatenate[TorchBackend, P], R]:
    """Run a method in inference mode, translate PyTorch's errors, and fall back when memory is full.

    The method raises `StateError` (`forked-process`) in a process that was forked after PyTorch was used.
    """

    @wraps(method)
    def run(self: TorchBackend, /, *args: P.args, **kwargs: P.kwargs) -> R:
        def call() -> R:
            with torch.inference_mode(), _translate_torch_errors():
                return method(self, *args, **kwargs)

        FORK_GUARD.check()
        return self.fallback.run(call)

    return run


class TorchBackend(Backend[Tensor]):
    """`Backend` over `Sam2` on one device."""

    runtime = "torch"

    def __init__(self, model: Sam2, input_size: int, identity: str) -> None:
        self.model = model
        self.identity = identity
        self.config = model.config
        self.input_size = input_size
        self.fallback = MemoryFallback(self._release_memory)

    def __repr__(self) -> str:
        return f"TorchBackend({describe(self)})"

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.model.no_pointer.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the networks compute in."""
        return self.model.no_pointer.dtype

    @_inference
    def encode(self, images: Sequence[UInt8[NDArray[np.uint8], "_ _ 3"]]) -> list[Features[Tensor]]:
        encoded = []
        for rows in self.fallback.split(len(images)):
            features = self.model.encode(torch.cat([self._normalize(image) for image in images[rows]]))
            encoded += [Features(*(level[k : k + 1] for level in features)) for k in range(len(images[rows]))]
        return encoded

    @_inference
    def encode_normalized(self, images: Float[Tensor, "B 3 S S"]) -> Features[Tensor]:
        images = images.to(device=self.device, dtype=self.dtype)
        encoded = [self.model.encode(images[rows]) for rows in self.fallback.split(len(images))]
        return Features(*map(torch.cat, zip(*encoded, strict=True)))

    @_inference
    def attend(self, features: Features[Tensor], recalls: Sequence[Recall[Tensor]]) -> Features[Tensor]:
        rows: list[Tensor | None] = [None] * len(recalls)
        for group in group_recalls(recalls, self.fallback.limit(len(recalls))):
            attended = self.model.attend(features, *self._batch_memories([recalls[k] for k in group])).stride16
            for row, k in enumerate(group):
                rows[k] = attended[row : row + 1]
        return features._replace(stride16=torch.cat([row for row in rows if row is not None]))

    @_inference
    def decode(self, features: Features[Tensor], queries: Sequence[Query], *, hide: bool = False) -> Decoded[Tensor]:
        batches = [
            self._decode_batch(_select_rows(features, rows), queries[rows])
            for rows in self.fallback.split(len(queries), MAX_PROMPTS_PER_BATCH)
        ]
        candidates = Candidates(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
        if hide:
            visible = candidates.object_score[..., None, None] > 0
            candidates = candidates._replace(logits=candidates.logits.where(visible, NO_OBJECT))
        return self._choose(candidates, [query.ambiguous for query in queries])

    @_inference
    def use_masks(self, features: Features[Tensor], masks: Sequence[Bool[NDArray[np.bool_], "_ _"]]) -> Decoded[Tensor]:
        batches = [self._use_batch(features, masks[rows]) for rows in self.fallback.split(len(masks))]
        logits, iou, score, pointer = map(torch.cat, zip(*batches, strict=True))
        return Decoded(logits, iou, score, pointer)

    @_inference
    def select(self, decoded: Decoded[Tensor], picks: Sequence[tuple[int, int | None]]) -> list[Decoded[Tensor]]:
        return [pick_mask(decoded, row, candidate) for row, candidate in picks]

    @_inference
    def join(self, features: Sequence[Features[Tensor]]) -> Features[Tensor]:
        return Features(*map(torch.cat, zip(*features, strict=True)))

    @_inference
    def split(self, decoded: Decoded[Tensor], counts: Sequence[int]) -> list[Decoded[Tensor]]:
        return split_rows(decoded, counts)

    @_inference
    def memorize(
        self, features: Features[Tensor], decoded: Sequence[Decoded[Tensor]], prompted: Sequence[bool]
    ) -> list[Memory[Tensor]]:
        binarize = torch.tensor(list(prompted), device=self.device)
        logits = torch.cat([result.logits for result in decoded]).to(self.dtype)  # post-processed logits are float32
        scores = torch.cat([result.object_score for result in decoded])
        max_batch = MAX_MASKS_PER_BATCH if self.device.type == "cpu" else None
        batches = [
            self.model.memorize(_select_rows(features, rows), logits[rows], scores[rows], binarize[rows])
            for rows in self.fallback.split(len(decoded), max_batch)
        ]
        maps = torch.cat(batches).to(MEMORY_DTYPE)
        return [Memory(maps[k : k + 1].clone(), result.pointer.clone()) for k, result in enumerate(decoded)]

    @_inference
    def fetch(self, decoded: Sequence[Decoded[Tensor] | None]) -> Predictions:
        present = [self._hidden_object() if result is None else result[:3] for result in decoded]
        logits, iou, score = (torch.cat(parts)[:, 0] for parts in zip(*present, strict=True))
        return _to_predictions(logits, iou, score)

    @_inference
    def fetch_candidates(self, decoded: Decoded[Tensor]) -> Predictions:
        assert decoded.candidates is not None, "a mask that is used as given has no candidates"
        logits, iou, score, _ = decoded.candidates
        three = logits[:, 1:].flatten(0, 1)
        return _to_predictions(three, iou[:, 1:].flatten(), score.expand(-1, NUM_MASKS - 1).flatten())

    def store(self, arrays: Sequence[Tensor]) -> list[NDArray[Any]]:
        return [(x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).cpu().numpy() for x in arrays]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> list[Tensor]:
        tensors = (torch.from_numpy(array) for array in arrays)
        return [(x.view(torch.bfloat16) if x.dtype == torch.uint16 else x).to(self.device) for x in tensors]

    def _release_memory(self) -> None:
        """Give blocks that PyTorch keeps for later tensors back to the device."""
        if self.device.type in ("cuda", "mps"):
            getattr(torch, self.device.type).empty_cache()

    def _hidden_object(self) -> tuple[Float[Tensor, "1 1 h w"], Float[Tensor, "1 1"], Float[Tensor, "1 1"]]:
        """Return the logits, IoU and score of an object that is not visible."""
        zero = self.model.no_pointer.new_zeros(1, 1)
        side = self.input_size // MASK_STRIDE
        logits = zero.new_full((1, 1, side, side), NO_OBJECT)
        return logits, zero, zero + NO_OBJECT

    def _normalize(self, image: UInt8[NDArray[np.uint8], "H W 3"]) -> Float[Tensor, "1 3 S S"]:
        """Resize an image to the square by antialiased bilinear interpolation, and normalize it."""
        x = torch.tensor(image, device=self.device)
        x = x.permute(2, 0, 1)[None].to(promote_to_float32(self.dtype)) / 255
        x = _resize(x, self.input_size)
        mean, std = (x.new_tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
        return ((x - mean) / std).to(self.dtype)

    def _use_batch(
        self, features: Features[Tensor], masks: Sequence[Bool[NDArray[np.bool_], "_ _"]]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the fields of the result for one batch of masks."""
        squares = torch.cat([self._resize_mask(mask) for mask in masks])
        logits = _resize(squares * MASK_SCALE + MASK_BIAS, self.input_size // MASK_STRIDE)
        points, labels, _ = self._batch_points([NO_PROMPT] * len(masks))
        candidates = self.model.decode(features, points, labels, self.model.mask_downsample(squares))
        not_empty = squares.flatten(1).any(dim=1, keepdim=True)
        score = torch.where(not_empty, GIVEN_MASK_SCORE, -GIVEN_MASK_SCORE).to(squares.dtype)
        # the second choice of pointers, after the one in `Sam2.decode` (reference-model §12, G14)
        pointer = select_pointers(self.model, candidates.pointers[:, 0], score)
        return logits, torch.ones_like(score), score, pointer

    def _resize_mask(self, mask: Bool[NDArray[np.bool_], "H W"]) -> Float[Tensor, "1 1 S S"]:
        """Resize a mask to the square, as zeros and ones."""
        x = torch.tensor(mask, device=self.device)[None, None].to(promote_to_float32(self.dtype))
        if x.shape[-2:] != (self.input_size, self.input_size):
            x = _resize(x, self.input_size)
            x = (x >= MASK_THRESHOLD).to(x.dtype)
        return x.to(self.dtype)

    def _batch_memories(
        self, recalls: list[Recall[Tensor]]
    ) -> tuple[
        Float[Tensor, "N T c h w"],
        Int[Tensor, "N T"],
        Float[Tensor, "N P C"],
        Float[Tensor, "N P"],
        tuple[Float[Tensor, "N T"], Float[Tensor, "N P"]] | None,
    ]:
        """Stack the maps, slots, pointers, times and scales of recalls of one group."""
        slots = torch.tensor([[slot for slot, _ in recall.spatial] for recall in recalls], dtype=torch.long)
        times = torch.tensor(
            [[ago / max(recall.horizon, 1) for ago, _ in recall.pointers] for recall in recalls], dtype=torch.float64
        )
        like = self.model.no_pointer  # memories may come from another device or dtype
        maps = [memory.features.to(like) for recall in recalls for _, memory in recall.spatial]
        pointers = [memory.pointer.to(like) for recall in recalls for _, memory in recall.pointers]
        shape = self.config.memory_shape(self.input_size)
        return (
            torch.cat([like.new_zeros(0, *shape), *maps]).reshape(*slots.reshape(len(recalls), -1).shape, *shape),
            slots.reshape(len(recalls), -1).to(self.device),
            torch.cat([like[:0], *pointers]).reshape(*times.reshape(len(recalls), -1).shape, like.shape[1]),
            times.reshape(len(recalls), -1).to(device=self.device, dtype=promote_to_float32(self.dtype)),
            self._batch_scales([recall.scales for recall in recalls if recall.scales is not None]),
        )

    def _batch_scales(
        self, scales: list[tuple[tuple[float, ...], tuple[float, ...]]]
    ) -> tuple[Float[Tensor, "N T"], Float[Tensor, "N P"]] | None:
        """Stack the scales of maps and of pointers; None without scales."""
        if not scales:
            return None
        like = self.model.no_pointer
        maps, pointers = (like.new_tensor(part) for part in zip(*scales, strict=True))
        return maps, pointers

    def _decode_batch(self, features: Features[Tensor], queries: Sequence[Query]) -> Candidates[Tensor]:
        points, labels, present = self._batch_points(queries)
        masks = [None if query.mask is None else self._encode_mask_prompt(query.mask) for query in queries]
        prompted = [mask for mask in masks if mask is not None]
        if not prompted:
            return self.model.decode(features, points, labels, present=present)
        filled = torch.cat([torch.zeros_like(prompted[0]) if mask is None else mask for mask in masks])
        masked = (
            None if len(prompted) == len(masks) else torch.tensor([m is not None for m in masks], device=self.device)
        )
        return self.model.decode(features, points, labels, filled, masked, present)

    def _batch_points(
        self, queries: Sequence[Query]
    ) -> tuple[Float[Tensor, "N P 2"], Int[Tensor, "N P"], Bool[Tensor, "N P"] | None]:
        """Pad points and labels to those of the longest query; `present` is None if all queries are as long."""
        counts = np.array([len(query.points) for query in queries])
        points, labels = np.zeros((len(counts), counts.max(), 2)), np.full((len(counts), counts.max()), NOT_A_POINT)
        for row, query in enumerate(queries):
            points[row, : counts[row]], labels[row, : counts[row]] = query.points, query.labels
        present = np.arange(counts.max()) < counts[:, None]
        on_device = torch.from_numpy(points).to(dtype=promote_to_float32(self.dtype)).to(self.device)
        present_on_device = None if present.all() else torch.from_numpy(present).to(self.device)
        return on_device, torch.from_numpy(labels).to(self.device), present_on_device

    def _encode_mask_prompt(self, mask: Any) -> Float[Tensor, "1 1 h w"]:
        """Resize a mask or logits of any size to low-resolution logits."""
        side = self.input_size // MASK_STRIDE
        if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
            x = torch.tensor(mask, device=self.device)[None, None].to(promote_to_float32(self.dtype))
            x = _resize(x, side)
            return (x * MASK_SCALE + MASK_BIAS).to(self.dtype)
        x = torch.as_tensor(mask, device=self.device, dtype=self.dtype)[..., :, :].reshape(1, 1, *mask.shape[-2:])
        if x.shape[-2:] != (side, side):
            x = _resize(x, side)
        return x.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)

    def _choose(self, candidates: Candidates[Tensor], ambiguous: list[bool]) -> Decoded[Tensor]:
        """Choose one of the four masks of each object."""
        logits, iou, score, pointers = candidates
        single = logits[:, 0].flatten(1)
        offset, threshold = self.stability_rule
        inside, around = (single > offset).sum(1), (single > -offset).sum(1)
        stability = torch.where(around > 0, inside / around, torch.ones_like(inside / around))
        masks, tokens = choose_masks(iou.float().cpu().numpy(), stability.cpu().numpy(), ambiguous, threshold)
        rows = list(range(len(masks)))
        return Decoded(
            logits[rows, masks][:, None], iou[rows, masks][:, None], score, pointers[rows, tokens], candidates
        )


def _resize(x: Float[Tensor, "N C H W"], side: int) -> Float[Tensor, "N C {side} {side}"]:
    """Resize maps to a square by antialiased bilinear interpolation."""
    return F.interpolate(x, (side, side), mode="bilinear", align_corners=False, antialias=True)


def _to_predictions(
    logits: Float[Tensor, "N h w"], iou: Float[Tensor, " N"], score: Float[Tensor, " N"]
) -> Predictions:
    """Copy results to the host. Raises `BackendError` for NaN or infinity."""
    arrays = [x.to(promote_to_float32(x.dtype)).cpu().numpy() for x in (logits, iou, score)]
    if not all(np.isfinite(array).all() for array in arrays):
        raise BackendError(
            "non-finite-output",
            f"the network returned NaN or infinity in {str(logits.dtype).removeprefix('torch.')}",
            hint="load the model with dtype='float32'",
        )
    return Predictions(*arrays)


def _select_rows(features: Features[Tensor], rows: slice) -> Features[Tensor]:
    """Select the features of some objects; features that all objects share are returned unchanged."""
    return Features(*(level if len(level) == 1 else level[rows] for level in features))

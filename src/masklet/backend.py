"""Backend protocol: the interface of a runtime with a model, for images, tracking, evaluation and export.

Callers treat the arrays of a backend as opaque: they are torch tensors, ONNX values or numpy arrays. The protocol and
its records are generic over that type, `A`. `Backend.fetch` returns predictions as numpy arrays. Backends process
single images and have no notion of a video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Generic, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import NamedTuple, TypeVar

from masklet.config import CERTAIN_LOGIT, NOT_A_POINT, STRIDES, ModelConfig

if TYPE_CHECKING:  # tests/backends/test_shapes.py checks the shapes, and only the tests need jaxtyping
    from jaxtyping import Bool, Float, Int, Shaped, UInt8

NO_OBJECT = -1024.0  # logits of a hidden object, everywhere (reference-model §5.5)
LOGIT_LIMIT = 32.0  # low-res logits are clamped to this before they are fed back (reference-model §2.3)
MASK_SCALE, MASK_BIAS = 2 * CERTAIN_LOGIT, -CERTAIN_LOGIT  # scale masks in [0, 1] to [−10, 10] (reference-model §1.3)
MASK_THRESHOLD = 0.5  # share of a pixel that a mask covers from which on the pixel belongs to the resized mask
GIVEN_MASK_SCORE = CERTAIN_LOGIT  # object score of a mask that is used as given; negative for an empty mask
IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB, of the images the networks were trained on
GRAY = tuple((127 / 255 - mean) / std for mean, std in zip(IMAGE_MEAN, IMAGE_STD, strict=True))  # EfficientNet's zero
STABILITY_THRESHOLD, STABLE_OFFSET = 0.98, 0.05  # from this stability on the single mask is used (reference-model §5.4)

MAX_PROMPTS_PER_BATCH = 16  # limits the memory that decoding takes
MEMORY_SLOTS = 7  # six recent frames and one shared by all prompted frames
MAX_POINTERS = 16  # frames whose object pointers are recalled, the frame itself included

_BYTES = {"float64": 8, "float16": 2, "bfloat16": 2}  # of features by dtype; others have float32


A = TypeVar("A", default=Any)
A_co = TypeVar("A_co", default=Any, covariant=True)
"""Type of a backend's arrays, in the protocol and in its records, which cannot be changed."""


class Features(NamedTuple, Generic[A_co]):
    """Features of an image at three strides. With memories, `stride16` has one map per object, the others have one."""

    stride4: Float[A_co, "B C4 h4 w4"]
    stride8: Float[A_co, "B C8 h8 w8"]
    stride16: Float[A_co, "N C h16 w16"]


class Candidates(NamedTuple, Generic[A_co]):
    """All outputs of the decoder for N objects: the single mask, then three masks for an ambiguous prompt."""

    logits: Float[A_co, "N 4 h w"]  # low-res
    iou: Float[A_co, "N 4"]  # predicted, in [0, 1]
    object_score: Float[A_co, "N 1"]  # logit; > 0 is visible
    pointers: Float[A_co, "N 4 C"]


class Decoded(NamedTuple, Generic[A_co]):
    """The selected mask of each of N objects, and all candidates."""

    logits: Float[A_co, "N 1 h w"]  # low-res
    iou: Float[A_co, "N 1"]
    object_score: Float[A_co, "N 1"]
    pointer: Float[A_co, "N C"]
    candidates: Candidates[A_co] | None = None  # None where a given mask is used as it is


class Query(NamedTuple):
    """Prompt of one object as the decoder takes it. Build it with `build_query`, or use `NO_PROMPT`."""

    points: Float[NDArray[np.float64], "P 2"]  # xy as fractions of the image
    labels: Int[NDArray[np.int32], " P"]  # `NOT_A_POINT` for a token that is not a point
    mask: Any = None  # a mask (H, W) bool of any size, or low-res logits to refine as `fetch` or `decode` returns them
    ambiguous: bool = True  # select among the three masks, not the single one


def build_query(
    points: Float[NDArray[np.float64], "P 2"],
    labels: Int[NDArray[np.int32], " P"],
    mask: Any = None,
    *,
    ambiguous: bool,
) -> Query:
    """Build the query of a prompt. A not-a-point token follows points, but not a lone mask (reference-model §4).

    Args:
        points: xy as fractions of the image.
        labels: See `Prompt`.
        mask: Mask (H, W) bool of any size, or low-res logits to refine.
        ambiguous: Select among the three masks for ambiguous prompts, not the single mask.
    """
    if len(points):
        points, labels = np.append(points, [[0.0, 0.0]], axis=0), np.append(labels, np.int32(NOT_A_POINT))
    return Query(points, labels, mask, ambiguous)


NO_PROMPT = Query(np.zeros((2, 2)), np.full(2, NOT_A_POINT, np.int32))
"""Query of a tracked object: two tokens that are not points (reference-model §5.5, §12 G18)."""


class Predictions(NamedTuple):
    """Predicted masks as numpy arrays, in the network's precision."""

    logits: Float[NDArray[Any], "N h w"]  # low-res
    iou: Float[NDArray[Any], " N"]
    object_score: Float[NDArray[Any], " N"]


class Memory(NamedTuple, Generic[A_co]):
    """Memory of one object on one frame, as it is stored: backends without bfloat16 store its bits."""

    features: Shaped[A_co, "1 c h w"]
    pointer: Shaped[A_co, "1 C"]


@dataclass(frozen=True, slots=True)
class Recall(Generic[A_co]):
    """Memories that one object recalls on one frame.

    Attributes:
        spatial: (slot, memory) of each memory whose features are recalled.
        pointers: (number of frames since, memory) of each memory whose object pointer is recalled.
        horizon: Divisor of the times of pointers, in frames: 15, or less if the clip is known to be shorter.
        scales: Factors of the attention keys of each memory in `spatial` and of each in `pointers`; None for 1.
    """

    spatial: tuple[tuple[int, Memory[A_co]], ...] = ()
    pointers: tuple[tuple[int, Memory[A_co]], ...] = ()
    horizon: int = MAX_POINTERS - 1
    scales: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __bool__(self) -> bool:
        return bool(self.spatial)


class StabilityRule(NamedTuple):
    """Rule by which the best of the three masks replaces an unstable single mask (reference-model §5.4).

    Attributes:
        offset: Logit by which the mask threshold is shifted up and down for the stability.
        threshold: Stability from which on the single mask is used; 0 always uses it.
    """

    offset: float = STABLE_OFFSET
    threshold: float = STABILITY_THRESHOLD


class Backend(Protocol[A]):
    """Runtime with a model. Arguments for several objects are sequences, which a backend may split into batches.

    Attributes:
        config: Architecture of the network.
        input_size: Side of the square, in pixels, that images are resized to.
        identity: Identifier of the weights, equal for the same model on different runtimes and machines.
        runtime: "torch" or "onnx".
        stability_rule: Rule by which the best of the three masks replaces an unstable single mask.
    """

    config: ModelConfig
    input_size: int
    identity: str
    runtime: str
    stability_rule: StabilityRule = StabilityRule()

    @property
    def device(self) -> Any:
        """Device of the network; its `str` is a name that `masklet.load` takes."""

    @property
    def dtype(self) -> Any:
        """Number format of the network's computations."""

    def encode(self, images: Sequence[UInt8[NDArray[np.uint8], "_ _ 3"]]) -> list[Features[A]]:
        """Encode images (H, W, 3) uint8 RGB of any sizes in one call. Returns features with B = 1 for each."""

    def encode_normalized(self, images: Float[A, "B 3 S S"]) -> Features[A]:
        """Encode images that the caller resized to the square and normalized. Returns features of all B images."""

    def attend(self, features: Features[A], recalls: Sequence[Recall[A]]) -> Features[A]:
        """Condition one image's features on the memories of N objects; an empty recall has none. Returns B = N."""

    def decode(self, features: Features[A], queries: Sequence[Query], *, hide: bool = False) -> Decoded[A]:
        """Decode the masks of N queries.

        Args:
            features: Features[A] of N objects, or of one image.
            queries: One query per object.
            hide: Set the logits of objects whose score is not positive to `NO_OBJECT`, as for frames of a video.
        """

    def use_masks(self, features: Features[A], masks: Sequence[Bool[NDArray[np.bool_], "_ _"]]) -> Decoded[A]:
        """Use given masks (H, W) of any size as they are; compute only their pointers (reference-model §5.6).

        `features` are those of one image, without memories.
        """

    def select(self, decoded: Decoded[A], picks: Sequence[tuple[int, int | None]]) -> list[Decoded[A]]:
        """Select masks of decoded objects.

        Args:
            decoded: Result of `decode` or `use_masks`.
            picks: For each mask the position of its object, and its position among the three candidates, or None for
                the mask that `decode` selected.

        Returns:
            The result of each pick alone (N = 1), without candidates.
        """

    def join(self, features: Sequence[Features[A]]) -> Features[A]:
        """Join the features of N images or objects (B = 1 each), so that a query of each is decoded in one call."""

    def split(self, decoded: Decoded[A], counts: Sequence[int]) -> list[Decoded[A]]:
        """Split the result of `decode` into those of so many objects each."""

    def memorize(
        self, features: Features[A], decoded: Sequence[Decoded[A]], prompted: Sequence[bool]
    ) -> list[Memory[A]]:
        """Encode the masks of single objects (N = 1) as memories; binarize the prompted ones (reference-model §6.1).

        `features` are those of one image, without memories.
        """

    def fetch(self, decoded: Sequence[Decoded[A] | None]) -> Predictions:
        """Fetch the selected masks as numpy arrays; None stands for one hidden object."""

    def fetch_candidates(self, decoded: Decoded[A]) -> Predictions:
        """Fetch the three candidates of each of N objects: logits (3 N, h, w), object by object."""

    def store(self, arrays: Sequence[A]) -> list[NDArray[Any]]:
        """Convert arrays to numpy, bit for bit; bfloat16 becomes uint16."""

    def restore(self, arrays: Sequence[NDArray[Any]]) -> list[A]:
        """Convert the arrays that `store` returned, on this or another machine, to arrays of this backend."""


def describe(backend: Backend) -> str:
    """Return a backend's model, runtime, device, number format and input size: `nano, onnx, cpu, float32, 256 px`."""
    dtype = str(backend.dtype).removeprefix("torch.")
    return f"{backend.config.name}, {backend.runtime}, {backend.device}, {dtype}, {backend.input_size} px"


def count_feature_bytes(backend: Backend) -> int:
    """Count the bytes of one image's features."""
    levels = zip(STRIDES, backend.config.feature_channels, strict=True)
    numbers = sum((backend.input_size // stride) ** 2 * channels for stride, channels in levels)
    return numbers * _BYTES.get(str(backend.dtype).removeprefix("torch."), 4)


def choose_masks(
    iou: Float[NDArray[Any], "N 4"],
    stability: Float[NDArray[Any], " N"],
    ambiguous: Sequence[bool],
    threshold: float = STABILITY_THRESHOLD,
) -> tuple[list[int], list[int]]:
    """Select one of four masks and one of four pointers for each object (reference-model §5.4, §5.5).

    An ambiguous prompt gets the best of the three. Any other prompt gets the single mask if that is stable, else the
    best of the three, and always the single mask's pointer.

    Args:
        iou: Predicted IoUs.
        stability: Stability of the single masks.
        ambiguous: Whether each prompt is ambiguous, N values.
        threshold: Stability from which on the single mask is stable.

    Returns:
        Indices of the masks and of the pointers.
    """
    best = 1 + iou[:, 1:].argmax(axis=1)
    masks = np.where(np.logical_or(ambiguous, stability < threshold), best, 0)
    return masks.tolist(), np.where(ambiguous, best, 0).tolist()


def pick_mask(decoded: Decoded[A], row: int, candidate: int | None) -> Decoded[A]:
    """Slice one mask of an object: the one that `decode` selected, or one of the three candidates."""
    selected: tuple[Any, ...] = decoded[:4]
    if candidate is None or decoded.candidates is None:
        return Decoded(*(part[row : row + 1] for part in selected))
    candidates: tuple[Any, ...] = decoded.candidates
    logits, iou, score, pointers = (part[row : row + 1] for part in candidates)
    index = slice(candidate + 1, candidate + 2)  # after the single mask
    return Decoded(logits[:, index], iou[:, index], score, pointers[:, candidate + 1])


def split_rows(decoded: Decoded[A], counts: Sequence[int]) -> list[Decoded[A]]:
    """Slice a result into those of so many objects each, as `Backend.split` does."""
    stops = list(accumulate(counts))
    return [_slice_rows(decoded, slice(stop - count, stop)) for count, stop in zip(counts, stops, strict=True)]


def _slice_rows(decoded: Decoded[A], rows: slice) -> Decoded[A]:
    selected: tuple[Any, ...] = decoded[:4]
    sliced = Decoded(*(part[rows] for part in selected))
    if decoded.candidates is None:
        return sliced
    candidates: tuple[Any, ...] = decoded.candidates
    return sliced._replace(candidates=Candidates(*(part[rows] for part in candidates)))


def group_recalls(recalls: Sequence[Recall], max_size: int) -> list[list[int]]:
    """Group the positions of recalls that a network takes together, in batches of at most `max_size`.

    They have equal numbers of maps and pointers, and either all of them have scales or none has.
    """
    groups: dict[tuple[int, int, bool], list[int]] = {}
    for k, recall in enumerate(recalls):
        groups.setdefault((len(recall.spatial), len(recall.pointers), recall.scales is None), []).append(k)
    return [group[start : start + max_size] for group in groups.values() for start in range(0, len(group), max_size)]

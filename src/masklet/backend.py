"""The one seam: what any runtime must do so that pictures, video, evaluation and export work the same over it.

Above it nobody looks inside an array; below it nobody knows what a video is. Arrays below are torch tensors, ONNX
values or numpy arrays; only `fetch` brings answers up, as numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from masklet.config import ModelConfig

NO_OBJECT = -1024.0  # the logits of a hidden object, everywhere (reference-model §5.5)
LOGIT_LIMIT = 32.0  # low-res logits are clamped to this before they are fed back (reference-model §2.3)
STABILITY_THRESHOLD, STABLE_OFFSET = 0.98, 0.05  # when the single mask is trusted (reference-model §5.4)

MEMORY_SLOTS = 7  # six recent frames and one shared by all prompted frames
MAX_POINTERS = 16  # object pointers reach this far back, the frame itself included


class Features(NamedTuple):
    """Encoded picture: maps at three strides, each (B, C, h, w)."""

    stride4: Any
    stride8: Any
    stride16: Any


class Candidates(NamedTuple):
    """Everything the decoder says about N objects: the single mask and three more for an ambiguous prompt."""

    logits: Any  # (N, 4, h, w) low-res
    iou: Any  # (N, 4) predicted, in [0, 1]
    object_score: Any  # (N, 1) logit; > 0 is visible
    pointers: Any  # (N, 4, C)


class Decoded(NamedTuple):
    """The mask that was chosen for each of N objects, and all candidates beside it."""

    logits: Any  # (N, 1, h, w) low-res
    iou: Any  # (N, 1)
    object_score: Any  # (N, 1)
    pointer: Any  # (N, C)
    candidates: Candidates | None = None  # none where a mask was adopted as given

    def at(self, index: int) -> Decoded:
        """Object `index` alone, without candidates."""
        return Decoded(*(part[index : index + 1] for part in self[:4]))


class Query(NamedTuple):
    """A prompt in the network's terms, for one object. Build it with `ask` or `NO_PROMPT`."""

    points: NDArray[np.float64]  # (P, 2) xy as fractions of the picture
    labels: NDArray[np.int32]  # (P,), −1 for a token that is not a point
    mask: Any = None  # a mask (H, W) bool of any size, or low-res logits to refine as `fetch` or `decode` gave them
    ambiguous: bool = True  # choose among the three masks, not the single one


def build_query(points: NDArray[np.float64], labels: NDArray[np.int32], mask: Any = None, *, ambiguous: bool) -> Query:
    """Build the query of a prompt. One not-a-point token follows points, but not a lone mask (reference-model §4)."""
    if len(points):
        points, labels = np.append(points, [[0.0, 0.0]], axis=0), np.append(labels, np.int32(-1))
    return Query(points, labels, mask, ambiguous)


NO_PROMPT = Query(np.zeros((2, 2)), np.full(2, -1, np.int32))
"""What a tracked object is asked: two tokens that are not points (reference-model §5.5, §12 G18)."""


class Predictions(NamedTuple):
    """Decoded masks as numpy, in the network's precision."""

    logits: NDArray[Any]  # (N, h, w) low-res
    iou: NDArray[Any]  # (N,)
    object_score: NDArray[Any]  # (N,)


class Memory(NamedTuple):
    """What is kept of one object on one frame: `features` (1, c, h, w) and `pointer` (1, C), a backend's arrays."""

    features: Any
    pointer: Any


@dataclass(frozen=True, slots=True)
class Recall:
    """The memories that one frame looks at: (slot, memory) of maps and (frames ago, memory) of pointers.

    `horizon` is the longest time that pointers are told in: 15 frames, less in a clip known to be shorter.
    """

    spatial: tuple[tuple[int, Memory], ...] = ()
    pointers: tuple[tuple[int, Memory], ...] = ()
    horizon: int = MAX_POINTERS - 1

    def __bool__(self) -> bool:
        return bool(self.spatial)


class Backend(Protocol):
    """A runtime with a model in it. Whatever concerns objects is a sequence: a backend batches them as it likes.

    `size` is the side of the square that pictures are resized to; `job_identity` tells models apart, not runtimes.
    `runtime` is "torch" or "onnx".
    """

    config: ModelConfig
    input_size: int
    identity: str
    runtime: str

    @property
    def device(self) -> Any:
        """The device the network runs on; its `str` is the name that `masklet.load` takes."""

    @property
    def dtype(self) -> Any:
        """The number format the network computes in."""

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        """Pictures (H, W, 3) uint8 RGB, of any sizes → features of each (B = 1), in one call."""

    def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
        """One picture's features as N objects see them, each with its own memories; an empty recall has none."""

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        """Masks of N queries on the features of N objects, or of one picture. With `hide`, objects whose score is not
        positive get logits of `NO_OBJECT`: so in video, not in pictures."""

    def use_masks(self, features: Features, masks: Sequence[NDArray[np.bool_]]) -> Decoded:
        """Take masks (H, W) of any size as given, on raw features; compute only pointers (reference-model §5.6)."""

    def memorize(self, features: Features, decoded: Decoded, prompted: Sequence[bool]) -> list[Memory]:
        """Encode N objects' masks and raw features as memories; binarize prompted masks (reference-model §6.1)."""

    def fetch(self, decoded: Sequence[Decoded | None]) -> Predictions:
        """The chosen masks of several answers, on the host; for None one mask of an object that is not there."""

    def fetch_candidates(self, decoded: Decoded) -> Predictions:
        """The three candidates of each of N objects: logits (3 N, h, w), object by object."""

    def store(self, arrays: Sequence[Any]) -> list[NDArray[Any]]:
        """Arrays as numpy, bit for bit; bfloat16 as uint16."""

    def restore(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        """The inverse of `store`, on any machine."""


def describe(backend: Backend) -> str:
    """Return a backend's model, runtime, device, number format and input size: `nano, onnx, cpu, float32, 256 px`."""
    dtype = str(backend.dtype).removeprefix("torch.")
    return f"{backend.config.name}, {backend.runtime}, {backend.device}, {dtype}, {backend.input_size} px"


def choose_masks(iou: NDArray[Any], stability: NDArray[Any], ambiguous: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Which of the four masks to show, and whose pointer to keep, per object (reference-model §5.4, §5.5).

    `iou` (N, 4) and the `stability` (N,) of the single mask. An ambiguous prompt gets the best of the three; any
    other the single mask if that is stable, else the best of the three, but always the single mask's pointer.
    """
    best = 1 + iou[:, 1:].argmax(axis=1)
    masks = np.where(np.logical_or(ambiguous, stability < STABILITY_THRESHOLD), best, 0)
    return masks.tolist(), np.where(ambiguous, best, 0).tolist()


def group_recalls(recalls: Sequence[Recall], most: int) -> list[list[int]]:
    """Positions of the recalls, grouped by how many maps and pointers they hold: batches of at most `most`."""
    groups: dict[tuple[int, int], list[int]] = {}
    for k, recall in enumerate(recalls):
        groups.setdefault((len(recall.spatial), len(recall.pointers)), []).append(k)
    return [group[start : start + most] for group in groups.values() for start in range(0, len(group), most)]

"""The masks of objects in one picture or one frame of a video: the one result type everywhere."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklet.errors import BackendError, FormatError, PromptError, SettingsError
from masklet.files.atomic import atomic_write
from masklet.masks import connected_components, drawing, polygons, rle
from masklet.masks.label_map import label_map, write_label_map, write_mask
from masklet.masks.nms import extents, mask_iou, separate, suppress
from masklet.masks.resize import interpolate
from masklet.prompts import clicks

Number = TypeVar("Number", bound=np.generic)

CERTAIN = 10.0  # the logit of a mask that was given, not predicted; −10 beside it


@dataclass(frozen=True, eq=False, repr=False)
class Masks:
    """N masks of one picture, by position; several may be of the same object. Build them with `from_…`.

    `low_res` (N, h, w) float32 or float64 are logits, positive on the object, of any size: they cover the picture.
    `size` is the picture's (H, W). `scores` (N,) float32 are predicted IoUs, `object_ids` the user's names of the
    objects, `object_scores` (N,) float32 logits that are positive where the object is visible.

    Raises `PromptError` (`mask-shape`) for parts that do not fit together and `BackendError` (`non-finite-output`)
    for numbers that are not finite.
    """

    low_res: NDArray[Any]
    size: tuple[int, int]
    scores: NDArray[np.float32]
    object_ids: tuple[int, ...]
    object_scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = self.low_res.shape
        if len(shape) != 3 or 0 in shape[1:] or self.low_res.dtype not in (np.float32, np.float64):
            raise _misfit(f"logits must be (N, h, w) float32 or float64, got {shape} {self.low_res.dtype}")
        object.__setattr__(self, "size", _whole(self.size, "size"))
        object.__setattr__(self, "object_ids", _whole(self.object_ids, "object_ids"))
        if len(self.size) != 2 or min(self.size) < 1:
            raise _misfit(f"size must be the picture's (height, width), got {self.size}")
        for name, values in (("scores", self.scores), ("object_scores", self.object_scores)):
            if values.shape != shape[:1] or values.dtype != np.float32:
                raise _misfit(f"{name} must be ({shape[0]},) float32, got {values.shape} {values.dtype}")
        if len(self.object_ids) != shape[0]:
            raise _misfit(f"{shape[0]} masks need as many object ids, got {self.object_ids}")
        if not all(np.isfinite(part).all() for part in (self.low_res, self.scores, self.object_scores)):
            raise BackendError(
                "non-finite-output", "logits or scores are not finite numbers; no mask can be made of them"
            )

    @staticmethod
    def from_logits(
        low_res: ArrayLike,
        size: tuple[int, int],
        *,
        object_ids: Sequence[int] | None = None,
        scores: ArrayLike | None = None,
        object_scores: ArrayLike | None = None,
    ) -> Masks:
        """Masks of logits (N, h, w); by default objects 1, 2, …, with scores of 1 and all visible."""
        logits = np.asarray(low_res)
        logits = logits if logits.dtype == np.float64 else logits.astype(np.float32, copy=False)
        count = len(logits) if logits.ndim else 0
        return Masks(
            low_res=logits,
            size=size,
            scores=_column(scores, count, 1.0),
            object_ids=tuple(range(1, count + 1)) if object_ids is None else tuple(object_ids),
            object_scores=_column(object_scores, count, CERTAIN),
        )

    @staticmethod
    def from_binary(
        array: ArrayLike, *, object_ids: Sequence[int] | None = None, scores: ArrayLike | None = None
    ) -> Masks:
        """Masks of booleans or whole numbers (N, H, W), or (H, W) for one, that are not 0 on the object.

        An empty mask is of an object that is not visible.
        """
        values = np.asarray(array)
        values = values[None] if values.ndim == 2 else values
        if values.ndim != 3 or 0 in values.shape[1:]:
            raise _misfit(f"masks must be (N, H, W) or (H, W), got shape {np.shape(array)}")
        if values.dtype.kind not in "bui":
            raise _misfit(f"masks must be booleans or whole numbers, got {values.dtype}; pass `array > threshold`")
        binary = values != 0
        low_res = np.where(binary, np.float32(CERTAIN), np.float32(-CERTAIN))
        visible = np.where(binary.any(axis=(1, 2)), CERTAIN, -CERTAIN)
        return Masks.from_logits(low_res, binary.shape[1:], object_ids=object_ids, scores=scores, object_scores=visible)

    @staticmethod
    def from_rle(
        codes: Sequence[Mapping[str, Any]],
        *,
        object_ids: Sequence[int] | None = None,
        scores: ArrayLike | None = None,
    ) -> Masks:
        """Masks of at least one COCO run-length code, compressed or not, all of one size: see `rle.decode_all`."""
        return Masks.from_binary(rle.decode_all(codes), object_ids=object_ids, scores=scores)

    @staticmethod
    def empty(size: tuple[int, int]) -> Masks:
        """No masks of a picture of `size` (H, W)."""
        return Masks.from_logits(np.zeros((0, *size), np.float32), size)

    @staticmethod
    def join(parts: Sequence[Masks]) -> Masks:
        """All masks of several results of one picture, in order; logits of different sizes join at the picture's."""
        if len({part.size for part in parts}) != 1:
            raise _misfit(f"masks of one picture can be joined, got sizes {[part.size for part in parts]}")
        full = [part for part in parts if len(part)] or list(parts[:1])
        alike = len({part.low_res.shape[1:] for part in full}) == 1
        return Masks(
            low_res=np.concatenate([part.low_res if alike else part._full_logits() for part in full]),
            size=parts[0].size,
            scores=np.concatenate([part.scores for part in full]),
            object_ids=tuple(object_id for part in full for object_id in part.object_ids),
            object_scores=np.concatenate([part.object_scores for part in full]),
        )

    def __len__(self) -> int:
        return len(self.object_ids)

    def __iter__(self) -> Iterator[Masks]:
        return (self[position] for position in range(len(self)))

    def __getitem__(self, which: int | slice | list[int] | NDArray[Any]) -> Masks:
        """The masks at a position, a slice, several positions, or where an array (N,) of booleans is true."""
        positions = np.atleast_1d(np.arange(len(self))[which])
        return replace(
            self,
            low_res=self.low_res[positions],
            scores=self.scores[positions],
            object_ids=tuple(self.object_ids[position] for position in positions),
            object_scores=self.object_scores[positions],
        )

    def __repr__(self) -> str:
        return f"Masks(object_ids={list_ids(self.object_ids)}, size={self.size})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """`binary`, (N, H, W) bool, for `np.asarray(masks)`; `np.array(masks)` is a copy that can be written to."""
        if dtype is None or np.dtype(dtype) == bool:
            return self.binary.copy() if copy else self.binary
        if copy is False:
            raise ValueError(f"masks are booleans and cannot be viewed as {np.dtype(dtype)} without a copy")
        return self.binary.astype(dtype)

    def of(self, object_id: int) -> Masks:
        """The masks of one object. Raises `PromptError` (`unknown-object`) if there are none."""
        positions = [position for position, own in enumerate(self.object_ids) if own == object_id]
        if not positions:
            raise PromptError(
                "unknown-object", f"no mask of object {object_id}, only of {sorted(set(self.object_ids))}"
            )
        return self[positions]

    @property
    def best(self) -> Masks:
        """The one mask with the highest score, the first of equals."""
        if not len(self):
            raise PromptError("unknown-object", "there are no masks, so none is the best; look at len(masks) first")
        return self[int(self.scores.argmax())]

    @cached_property
    def logits(self) -> NDArray[Any]:
        """Logits (N, H, W) at the picture's size; see `masklet.masks.resize`. Read-only.

        Computed at the first access and kept with the masks: 4 bytes per pixel and mask, four times `binary`.
        `masks.logits[k]` in a loop would otherwise resize all masks in each turn. Nothing here keeps them for its own
        use: methods that go through masks one by one resize one at a time.
        """
        if self.low_res.shape[1:] == self.size:
            return _read_only(self.low_res.view())
        return _read_only(self._full_logits())

    @cached_property
    def binary(self) -> NDArray[np.bool_]:
        """Where the objects are: (N, H, W) bool, logits > 0 at the picture's size. Read-only, kept once computed."""
        binary = np.empty((len(self), *self.size), bool)
        for position, logits in enumerate(self._each_logits()):
            np.greater(logits, 0, out=binary[position])
        return _read_only(binary)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Which objects (N,) the network holds to be in the picture at all."""
        return self.object_scores > 0

    @property
    def doubts(self) -> NDArray[np.float32]:
        """How likely each mask is wrong, (N,) in [0, 1]: what its predicted IoU and its object score leave open."""
        seen = 1 / (1 + np.exp(-self.object_scores.clip(-50, 50)))
        wrong: NDArray[np.float32] = np.where(self.visible, np.maximum(1 - self.scores, 1 - seen), seen).clip(0, 1)
        return wrong.astype(np.float32)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """The number of pixels (N,) of each mask, at the picture's size. Read-only, kept once computed."""
        return _read_only(np.array([np.count_nonzero(mask) for mask in self._each_binary()], np.int64))

    @cached_property
    def boxes(self) -> NDArray[np.float32]:
        """The boxes (N, 4) xyxy at the pixels' edges: the last column is x1 − 1. Zeros for an empty mask. Read-only,
        kept once computed."""
        return _read_only(extents(self._each_binary()).astype(np.float32))

    def stability(self, offset: float = 1.0) -> NDArray[np.float64]:
        """Stability of each mask: pixels above `offset` divided by pixels above −`offset` (reference-model §8.2).

        Counted at the picture's size; 0 where no pixel is above −`offset`.
        """
        counts = [[np.count_nonzero(one > level) for level in (offset, -offset)] for one in self._each_logits()]
        inner, outer = np.array(counts, np.float64).reshape(-1, 2).T
        return np.asarray(inner / np.maximum(outer, 1))  # what is inner is outer too

    def iou(self, other: Masks) -> NDArray[np.float64]:
        """Intersection over union with each of M other masks of the picture, as (N, M); 0 where both are empty."""
        if self.size != other.size:
            raise _misfit(f"masks of {self.size} cannot be compared with masks of {other.size}")
        return mask_iou(self.binary, other.binary)

    def nms(self, threshold: float) -> Masks:
        """The masks that are left, best score first, when each removes those it overlaps with an IoU above that."""
        iou = self.iou(self)
        return self[suppress(self.scores, threshold, lambda index, rest: iou[index, rest])]

    def clean(self, *, holes: float = 0, islands: float = 0, keep: ArrayLike | None = None) -> Masks:
        """The masks without small holes and islands, and of only the pieces that were clicked.

        `holes` and `islands` are the largest areas filled and dropped, in low-res pixels (reference-model §2.3). `keep`
        are points (P, 2) xy in pixels of the picture: of each mask only the pieces that hold one of them stay, or else
        the piece nearest to the first.
        """
        if not (holes >= 0 and islands >= 0):
            raise SettingsError("bad-usage", f"areas of holes and islands must be 0 or more, got {holes} and {islands}")
        cleaned = self._changed(lambda logits: connected_components.clean_logits(logits, holes, islands))
        if keep is None:
            return cleaned
        points = clicks(keep).within(self.size) * self.low_res.shape[:0:-1]
        return cleaned._changed(lambda logits: connected_components.keep_clicked(logits, points))

    def keep_largest(self) -> Masks:
        """Of each mask only its largest piece."""
        return self._changed(connected_components.keep_largest)

    def without_overlap(self) -> Masks:
        """The masks such that each pixel belongs to at most one: to the highest logit, the first of equals.

        The others' logits there are at most −10, at the image's size (reference-model §2.3). A lone mask is unchanged.
        """
        if len(self) <= 1:
            return self
        return replace(self, low_res=separate(self._full_logits()))

    def to_rle(self) -> list[dict[str, Any]]:
        """COCO run-length codes `{"size": [H, W], "counts": "…"}`, one for each mask."""
        return [rle.encode(mask) for mask in self._each_binary()]

    def to_polygons(self) -> list[list[NDArray[Any]]]:
        """Return the polygons of each mask, one (P, 2) of x, y for each of its pieces and none for an empty mask.

        Coordinates are pixels with integers at the corners of pixels. Holes are joined with their piece. Outlines are
        simplified as far as an IoU of `masklet.masks.polygons.MIN_IOU` with the mask allows.
        """
        return [polygons.trace_pieces(mask) for mask in self._each_binary()]

    def to_torch(self) -> Any:
        """Return `binary` as a `torch.Tensor` (N, H, W) bool on the CPU that can be written to.

        Raises:
            BackendError: PyTorch is not installed.
        """
        return _optional("torch", 'pip install "masklet[torch]"').from_numpy(self.binary.copy())

    def to_supervision(self) -> Any:
        """Return the masks as `supervision.Detections`, in order.

        Its `xyxy` (N, 4) float32 are `boxes`, zeros for an empty mask; `mask` (N, H, W) bool is `binary`, `confidence`
        (N,) float32 are `scores`, `tracker_id` (N,) int64 are `object_ids`, and `class_id` (N,) int64 is 0, since
        masks have no class.

        Raises:
            BackendError: supervision is not installed.
        """
        return _optional("supervision", "pip install supervision").Detections(
            xyxy=self.boxes.copy(),
            mask=self.binary.copy(),
            confidence=self.scores.copy(),
            class_id=np.zeros(len(self), np.int64),
            tracker_id=np.array(self.object_ids, np.int64),
        )

    def overlay(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (H, W, 3) uint8 RGB with each mask in its object's translucent colour and a crisp outline."""
        return drawing.overlay(drawing.check_picture(image, self.size), self._each_binary(), self.object_ids)

    def cutout(self, image: NDArray[np.uint8], *, soft: bool = False) -> NDArray[np.uint8]:
        """What any mask covers, as (H, W, 4) uint8 RGBA: opaque on the masks, or with `soft` fading out at edges.

        A soft edge is as wide as the network's doubt: the opacity is the sigmoid of the logits.
        """
        picture = drawing.check_picture(image, self.size)
        if soft:
            return drawing.cutout(picture, drawing.soft_alpha(self._each_logits(), self.size))
        return drawing.cutout(picture, drawing.sharp_alpha(self._each_binary(), self.size))

    def save(self, path: str | Path) -> None:
        """Writes the masks, whole or not at all. The suffix says how:

        - `.png`: one mask in black and white; several as a picture of object ids in the colours of DAVIS, in which
          the smallest id wins overlaps, with 16 bits if an id is above 255;
        - `.json`: size, and per mask object id, scores, area, box xyxy and COCO run-length code;
        - `.npz`: the five fields, for numpy.

        Raises `FormatError` for another suffix or an id that a picture cannot hold, `ResourceError` as `atomic_write`.
        """
        target = Path(path)
        write = _WRITERS.get(target.suffix.lower())
        if write is None:
            raise FormatError("unsupported-format", f"{target}: masks are saved as .png, .json or .npz")
        with atomic_write(target) as handle:
            write(self, handle)

    def _full_logits(self) -> NDArray[Any]:
        """`logits`, without keeping them."""
        if self.low_res.shape[1:] == self.size:
            return self.low_res
        if "logits" in self.__dict__:
            return self.logits
        logits = np.empty((len(self), *self.size), self.low_res.dtype)
        for position, one in enumerate(self._each_logits()):
            logits[position] = one
        return logits

    def _each_logits(self) -> Iterator[NDArray[Any]]:
        if "logits" in self.__dict__:
            return iter(self.logits)
        return (interpolate(one, self.size) for one in self.low_res)

    def _each_binary(self) -> Iterator[NDArray[np.bool_]]:
        """The binary masks one by one, for those who need not all at once."""
        if "binary" in self.__dict__:
            return iter(self.binary)
        return (logits > 0 for logits in self._each_logits())

    def _changed(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Masks:
        """The same with each mask's low-res logits changed."""
        return replace(self, low_res=np.stack([change(one) for one in self.low_res])) if len(self) else self


def list_ids(object_ids: Sequence[int]) -> str:
    """Return object ids as text, the first eight of many: `[1, 2, 3]`."""
    shown = [str(object_id) for object_id in object_ids[:8]]
    return f"[{', '.join([*shown, *([f'… {len(object_ids)} in all'] if len(object_ids) > 8 else [])])}]"


def _write_png(masks: Masks, handle: BinaryIO) -> None:
    if len(masks) == 1:
        write_mask(handle, masks.binary[0])
    else:
        write_label_map(handle, label_map(masks.binary, masks.object_ids, masks.size))


def _write_json(masks: Masks, handle: BinaryIO) -> None:
    columns: dict[str, Sequence[Any]] = {
        "object_id": masks.object_ids,
        "score": masks.scores.tolist(),
        "object_score": masks.object_scores.tolist(),
        "area": masks.areas.tolist(),
        "box": masks.boxes.tolist(),
        "rle": masks.to_rle(),
    }
    entries = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    handle.write(json.dumps({"size": list(masks.size), "masks": entries}).encode())


def _write_npz(masks: Masks, handle: BinaryIO) -> None:
    np.savez(
        handle,
        low_res=masks.low_res,
        size=np.array(masks.size),
        scores=masks.scores,
        object_ids=np.array(masks.object_ids, np.int64),
        object_scores=masks.object_scores,
    )


_WRITERS = {".png": _write_png, ".json": _write_json, ".npz": _write_npz}


def _read_only(array: NDArray[Number]) -> NDArray[Number]:
    array.flags.writeable = False
    return array


def _optional(name: str, install: str) -> Any:
    """A module of a package that masklet does not depend on."""
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        raise BackendError("backend-missing", f"{name} is not installed", hint=install) from missing


def _column(values: ArrayLike | None, count: int, default: float) -> NDArray[np.float32]:
    return np.full(count, default, np.float32) if values is None else np.asarray(values, np.float32)


def _whole(values: Sequence[int], what: str) -> tuple[int, ...]:
    try:
        return tuple(operator.index(value) for value in values)
    except TypeError as cause:
        raise _misfit(f"{what} must be whole numbers, got {values}") from cause


def _misfit(message: str) -> PromptError:
    return PromptError("mask-shape", message)

"""Masks of the objects in one image or one frame of a video: the result of every prediction."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklet.config import CERTAIN_LOGIT
from masklet.errors import BackendError, FormatError, MaskWarning, PromptError, SettingsError
from masklet.files.atomic import atomic_write
from masklet.images.image_source import ImageSource
from masklet.masks import connected_components, effects, interop, mask_files, polygons, rle
from masklet.masks import overlay as drawing
from masklet.masks.crop import Crop
from masklet.masks.iou import mask_iou, masks_to_boxes
from masklet.masks.nms import suppress_overlaps
from masklet.masks.overlap import remove_overlap
from masklet.masks.resize import resize_logits
from masklet.prompts import check_label, clicks

Number = TypeVar("Number", bound=np.generic)

_SUFFIXES = (".png", ".json", ".npz")
_SHOWN = 8  # object ids or labels in a repr


@dataclass(frozen=True, eq=False, repr=False)
class Masks:
    """N masks of one image, of which several may be of the same object.

    `np.asarray(masks)` is `binary`. Use `from_logits`, `from_binary` or `from_rle` to make masks of your own.

    Args:
        low_res: Logits (N, h, w), float32 or float64, positive on the object. They cover the image, or each mask's
            crop of it, at any resolution.
        size: Size (H, W) of the image.
        scores: Predicted IoUs (N,), float32.
        object_ids: N object ids.
        object_scores: Logits (N,), float32, positive where the object is visible.
        crops: Part of the image that each mask's logits cover, N crops; None is the whole image. By default all are
            None.
        labels: Label of each mask's object, the name of its class, or None. By default all are None.
        warnings: Why masks may be wrong, as a prediction reports it: each reason at most once for an object.

    Raises:
        PromptError: `mask-shape`. Shapes or dtypes do not fit together. `bad-prompt`. A label is invalid.
        BackendError: `non-finite-output`. A logit or a score is not finite.

    Example:
        >>> image = masklet.read_image("examples/coffee.jpg")
        >>> masks = masklet.load().embed(image).predict(masklet.click(230, 150))
        >>> masks.binary.shape, masks.areas, masks.boxes
        >>> masks.save("mask.png")
    """

    low_res: NDArray[Any]
    size: tuple[int, int]
    scores: NDArray[np.float32]
    object_ids: tuple[int, ...]
    object_scores: NDArray[np.float32]
    crops: tuple[Crop | None, ...] = ()
    labels: tuple[str | None, ...] = ()
    warnings: tuple[MaskWarning, ...] = ()

    def __post_init__(self) -> None:
        shape = self.low_res.shape
        if len(shape) != 3 or 0 in shape[1:] or self.low_res.dtype not in (np.float32, np.float64):
            raise _shape_error(f"logits must be (N, h, w) float32 or float64, got {shape} {self.low_res.dtype}")
        object.__setattr__(self, "size", _to_integers(self.size, "size"))
        object.__setattr__(self, "object_ids", _to_integers(self.object_ids, "object_ids"))
        if len(self.size) != 2 or min(self.size) < 1:
            raise _shape_error(f"size must be the image's (height, width), got {self.size}")
        for name, values in (("scores", self.scores), ("object_scores", self.object_scores)):
            if values.shape != shape[:1] or values.dtype != np.float32:
                raise _shape_error(f"{name} must be ({shape[0]},) float32, got {values.shape} {values.dtype}")
        if len(self.object_ids) != shape[0]:
            raise _shape_error(f"{shape[0]} masks need as many object ids, got {self.object_ids}")
        object.__setattr__(self, "crops", tuple(self.crops) or (None,) * shape[0])
        if len(self.crops) != shape[0]:
            raise _shape_error(f"{shape[0]} masks need as many crops, got {len(self.crops)}")
        object.__setattr__(self, "labels", _to_labels(self.labels, shape[0]))
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
        labels: Sequence[str | None] = (),
    ) -> Masks:
        """Make masks from logits.

        Args:
            low_res: Logits (N, h, w). Float64 is kept, other dtypes are converted to float32.
            size: Size (H, W) of the image.
            object_ids: N object ids. By default 1, 2, …
            scores: Predicted IoUs (N,). By default 1.
            object_scores: Logits (N,) of visibility. By default all objects are visible.
            labels: N labels of objects, the names of their classes, or None. By default all are None.
        """
        logits = np.asarray(low_res)
        logits = logits if logits.dtype == np.float64 else logits.astype(np.float32, copy=False)
        count = len(logits) if logits.ndim else 0
        return Masks(
            low_res=logits,
            size=size,
            scores=_to_column(scores, count, 1.0),
            object_ids=tuple(range(1, count + 1)) if object_ids is None else tuple(object_ids),
            object_scores=_to_column(object_scores, count, CERTAIN_LOGIT),
            labels=tuple(labels),
        )

    @staticmethod
    def from_binary(
        array: ArrayLike,
        *,
        object_ids: Sequence[int] | None = None,
        scores: ArrayLike | None = None,
        labels: Sequence[str | None] = (),
    ) -> Masks:
        """Make masks from arrays that are not 0 on the object. An object with an empty mask is not visible.

        Args:
            array: Booleans or whole numbers (N, H, W), or (H, W) for one mask.
            object_ids: N object ids. By default 1, 2, …
            scores: Predicted IoUs (N,). By default 1.
            labels: N labels of objects, the names of their classes, or None. By default all are None.

        Raises:
            PromptError: `mask-shape`. The array has another shape or dtype.
        """
        values = np.asarray(array)
        values = values[None] if values.ndim == 2 else values
        if values.ndim != 3 or 0 in values.shape[1:]:
            raise _shape_error(f"masks must be (N, H, W) or (H, W), got shape {np.shape(array)}")
        if values.dtype.kind not in "bui":
            raise _shape_error(f"masks must be booleans or whole numbers, got {values.dtype}; pass `array > threshold`")
        binary = values != 0
        low_res = np.where(binary, np.float32(CERTAIN_LOGIT), np.float32(-CERTAIN_LOGIT))
        visible = np.where(binary.any(axis=(1, 2)), CERTAIN_LOGIT, -CERTAIN_LOGIT)
        return Masks.from_logits(
            low_res, binary.shape[1:], object_ids=object_ids, scores=scores, object_scores=visible, labels=labels
        )

    @staticmethod
    def from_rle(
        rles: Sequence[Mapping[str, Any]],
        *,
        object_ids: Sequence[int] | None = None,
        scores: ArrayLike | None = None,
        labels: Sequence[str | None] = (),
    ) -> Masks:
        """Make masks from COCO's RLE, `{"size": [H, W], "counts": …}`, compressed or not.

        Args:
            rles: N ≥ 1 encodings of masks of one size.
            object_ids: N object ids. By default 1, 2, …
            scores: Predicted IoUs (N,). By default 1.
            labels: N labels of objects, the names of their classes, or None. By default all are None.

        Raises:
            FormatError: `bad-rle`. An RLE is malformed, sizes differ, or all masks have over 2²⁹ pixels.
        """
        return Masks.from_binary(rle.decode_all(rles), object_ids=object_ids, scores=scores, labels=labels)

    @staticmethod
    def empty(size: tuple[int, int]) -> Masks:
        """Return no masks of an image of `size` (H, W)."""
        return Masks.from_logits(np.zeros((0, *size), np.float32), size)

    @staticmethod
    def join(parts: Sequence[Masks]) -> Masks:
        """Concatenate masks of one image; logits of different shapes are resized to the image's size.

        Raises:
            PromptError: `mask-shape`. There are no parts, or they are of images of different sizes.
        """
        if len({part.size for part in parts}) != 1:
            raise _shape_error(f"only masks of one image can be joined, got sizes {[part.size for part in parts]}")
        full = [part for part in parts if len(part)] or list(parts[:1])
        same_shape = len({part.low_res.shape[1:] for part in full}) == 1
        return Masks(
            low_res=np.concatenate([part.low_res if same_shape else part._compute_logits() for part in full]),
            size=parts[0].size,
            scores=np.concatenate([part.scores for part in full]),
            object_ids=tuple(object_id for part in full for object_id in part.object_ids),
            object_scores=np.concatenate([part.object_scores for part in full]),
            crops=tuple(crop for part in full for crop in part.crops) if same_shape else (),
            labels=tuple(label for part in full for label in part.labels),
            warnings=tuple(warning for part in full for warning in part.warnings),
        )

    def __len__(self) -> int:
        return len(self.object_ids)

    def __iter__(self) -> Iterator[Masks]:
        return (self[position] for position in range(len(self)))

    def __getitem__(self, which: int | slice | list[int] | NDArray[Any]) -> Masks:
        """Return the masks at a position, a slice, several positions, or where an array (N,) of booleans is true."""
        positions = np.atleast_1d(np.arange(len(self))[which])
        object_ids = tuple(self.object_ids[position] for position in positions)
        return replace(
            self,
            low_res=self.low_res[positions],
            scores=self.scores[positions],
            object_ids=object_ids,
            object_scores=self.object_scores[positions],
            crops=tuple(self.crops[position] for position in positions),
            labels=tuple(self.labels[position] for position in positions),
            warnings=tuple(warning for warning in self.warnings if warning.object_id in object_ids),
        )

    def __repr__(self) -> str:
        labels = f", labels={_format_list([*map(repr, self.labels)])}" if any(self.labels) else ""
        return f"Masks(object_ids={format_object_ids(self.object_ids)}{labels}, size={self.size})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return `binary` for `np.asarray(masks)`, and a writable copy of it for `np.array(masks)`."""
        if dtype is None or np.dtype(dtype) == bool:
            return self.binary.copy() if copy else self.binary
        if copy is False:
            raise ValueError(f"masks are booleans and cannot be viewed as {np.dtype(dtype)} without a copy")
        return self.binary.astype(dtype)

    def of(self, object_id: int) -> Masks:
        """Return the masks of one object. Raises `PromptError` (`unknown-object`) if there are none."""
        positions = [position for position, other in enumerate(self.object_ids) if other == object_id]
        if not positions:
            raise PromptError(
                "unknown-object", f"no mask of object {object_id}, only of {sorted(set(self.object_ids))}"
            )
        return self[positions]

    @property
    def best(self) -> Masks:
        """The mask with the highest score, the first of equals. Raises `PromptError` if there are no masks."""
        if not len(self):
            raise PromptError("unknown-object", "there are no masks to select the best from; check len(masks) first")
        return self[int(self.scores.argmax())]

    @cached_property
    def logits(self) -> NDArray[Any]:
        """Logits (N, H, W) at the image's size, bilinear (reference-model §2.3). Read-only.

        They are computed on first access and cached: 4 bytes per pixel and mask with float32, four times as much as
        `binary`. Methods that need the logits of one mask after the other do not fill the cache.
        """
        if self._has_full_logits:
            return _make_read_only(self.low_res.view())
        return _make_read_only(self._compute_logits())

    @cached_property
    def binary(self) -> NDArray[np.bool_]:
        """Masks (N, H, W) bool: logits > 0 at the image's size. Read-only, computed on first access and cached."""
        binary = np.empty((len(self), *self.size), bool)
        for position, mask in enumerate(self._iterate_binary()):
            binary[position] = mask
        return _make_read_only(binary)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Whether the network predicts that each object is visible in the image, (N,)."""
        return self.object_scores > 0

    @property
    def uncertainty(self) -> NDArray[np.float32]:
        """Uncertainty (N,) of each mask in [0, 1], from its predicted IoU and the probability p of its visibility.

        It is max(1 − IoU, 1 − p) for a visible object, and p for one that is not.
        """
        probability = 1 / (1 + np.exp(-self.object_scores.clip(-50, 50)))
        uncertainty: NDArray[np.float32] = np.where(
            self.visible, np.maximum(1 - self.scores, 1 - probability), probability
        ).clip(0, 1)
        return uncertainty.astype(np.float32)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Areas (N,) in pixels of the image. Read-only, computed on first access and cached."""
        return _make_read_only(np.array([np.count_nonzero(mask) for mask in self._iterate_binary()], np.int64))

    def estimate_areas(self) -> NDArray[np.int64]:
        """Estimate the areas (N,) in pixels of the image from `low_res`, without resizing it."""
        if "areas" in self.__dict__:
            return self.areas
        counts = np.count_nonzero(self.low_res > 0, axis=(1, 2))
        sizes = np.array([math.prod(crop.size if crop else self.size) for crop in self.crops], np.float64)
        return np.asarray(np.rint(counts * sizes / math.prod(self.low_res.shape[1:])), np.int64)

    @cached_property
    def boxes(self) -> NDArray[np.float32]:
        """Bounding boxes (N, 4) xyxy at the edges of pixels, so that x1 − x0 is the width. Zeros for an empty mask.

        Read-only, computed on first access and cached.
        """
        return _make_read_only(masks_to_boxes(self._iterate_binary()).astype(np.float32))

    def stability(self, offset: float = 1.0) -> NDArray[np.float64]:
        """Compute the stability scores (N,) at the image's size (reference-model §8.2).

        A stability score is the number of pixels with logits above `offset`, divided by the number above −`offset`, and
        0 where no pixel is above −`offset`.
        """
        counts = [[np.count_nonzero(mask > level) for level in (offset, -offset)] for mask in self._iterate_logits()]
        inner, outer = np.array(counts, np.float64).reshape(-1, 2).T
        return np.asarray(inner / np.maximum(outer, 1))  # inner is at most outer

    def iou(self, other: Masks) -> NDArray[np.float64]:
        """Compute the IoU (N, M) with each of M other masks of the image, 0 for two empty masks.

        Raises:
            PromptError: `mask-shape`. The other masks are of an image of another size.
        """
        if self.size != other.size:
            raise _shape_error(f"masks of {self.size} cannot be compared with masks of {other.size}")
        return mask_iou(self.binary, other.binary)

    def nms(self, threshold: float) -> Masks:
        """Apply NMS: remove masks with an IoU above `threshold` with a better one, and sort the rest by score."""
        iou = self.iou(self)
        return self[suppress_overlaps(self.scores, threshold, lambda index, rest: iou[index, rest])]

    def postprocess(
        self, *, fill_holes: float = 0, remove_islands: float = 0, keep_points: ArrayLike | None = None
    ) -> Masks:
        """Fill small holes, remove small islands and keep the components that contain a point.

        Args:
            fill_holes: The largest area of a hole that is filled, in pixels of `low_res` (reference-model §2.3).
            remove_islands: The largest area of an island that is removed, in pixels of `low_res`.
            keep_points: Points (P, 2) xy in pixels of the image. Of each mask, the components that contain one of them
                remain, or else the component nearest to the first.

        Returns:
            New masks with changed logits.

        Raises:
            SettingsError: An area is below 0.
            PromptError: A point lies outside the image.
        """
        if not (fill_holes >= 0 and remove_islands >= 0):
            message = f"areas of holes and islands must be 0 or more, got {fill_holes} and {remove_islands}"
            raise SettingsError("bad-usage", message)
        masks = self._map_logits(
            lambda logits: connected_components.fill_holes_and_remove_islands(logits, fill_holes, remove_islands)
        )
        if keep_points is None:
            return masks
        shares = clicks(keep_points).normalize_points(self.size)
        components = [
            connected_components.keep_components_at(
                logits, _share_of_crop(shares, self.size, crop) * logits.shape[::-1]
            )
            for logits, crop in zip(masks.low_res, masks.crops, strict=True)
        ]
        return replace(masks, low_res=np.stack(components)) if components else masks

    def keep_largest(self) -> Masks:
        """Keep the largest connected component of each mask."""
        return self._map_logits(connected_components.keep_largest_component)

    def remove_overlap(self) -> Masks:
        """Assign each pixel to the mask with the highest logit, the first of equals (reference-model §2.3).

        The logits of the other masks become at most −10 there, at the image's size. A single mask is returned as it is.
        """
        if len(self) <= 1:
            return self
        return replace(self, low_res=remove_overlap(self._compute_logits()), crops=())

    def to_rle(self) -> list[dict[str, Any]]:
        """Encode each mask as COCO's compressed RLE, `{"size": [H, W], "counts": "…"}`."""
        return [rle.encode(mask) for mask in self._iterate_binary()]

    def to_polygons(self) -> list[list[NDArray[Any]]]:
        """Trace each mask as polygons (P, 2) xy, one for each connected component and none for an empty mask.

        Coordinates are pixels with integers at the corners of pixels. Holes are joined with their component. Outlines
        are simplified within an IoU of 0.995 with the mask.
        """
        return [polygons.trace_pieces(mask) for mask in self._iterate_binary()]

    def to_torch(self) -> Any:
        """Return a copy of `binary` as a `torch.Tensor` (N, H, W) bool on the CPU.

        Raises:
            BackendError: PyTorch is not installed.
        """
        return interop.make_tensor(self.binary)

    def to_supervision(self) -> Any:
        """Return the masks as `supervision.Detections`, in order.

        Its `xyxy` (N, 4) float32 are `boxes`, zeros for an empty mask; `mask` (N, H, W) bool is `binary`, `confidence`
        (N,) float32 are `scores`, `tracker_id` (N,) int64 are `object_ids`. If there are labels, `data["class_name"]`
        (N,) has them, "object" for None, and `class_id` (N,) int64 numbers the distinct ones; else `class_id` is 0.

        Raises:
            BackendError: supervision is not installed.
        """
        return interop.make_detections(self.binary, self.boxes, self.scores, self.object_ids, self.labels)

    def overlay(self, image: ImageSource) -> NDArray[np.uint8]:
        """Draw each mask in the translucent color of its object, with an outline, on a copy of the image.

        Args:
            image: The image of the masks: whatever `read_image` takes, such as a path or an array (H, W, 3) uint8 RGB.

        Raises:
            ImageError: `bad-image`. The image has another size than the masks. Also the errors of `read_image`.
        """
        return drawing.draw_overlay(
            drawing.read_image_of_masks(image, self.size), self._iterate_binary(), self.object_ids
        )

    def _repr_png_(self) -> bytes:
        """Return the masks in the colors of their objects on black, as a PNG file that Jupyter shows."""
        black = np.zeros((*self.size, 3), np.uint8)
        return drawing.encode_png(drawing.draw_overlay(black, self._iterate_binary(), self.object_ids))

    def cutout(self, image: ImageSource, *, soft: bool = False) -> NDArray[np.uint8]:
        """Cut out the pixels that belong to any mask.

        Args:
            image: The image of the masks: whatever `read_image` takes, such as a path or an array (H, W, 3) uint8 RGB.
            soft: Use the sigmoid of the logits as alpha, so that edges fade out. By default alpha is 0 or 255.

        Returns:
            RGBA image (H, W, 4) uint8.

        Raises:
            ImageError: `bad-image`. The image has another size than the masks. Also the errors of `read_image`.
        """
        checked = drawing.read_image_of_masks(image, self.size)
        if soft:
            return drawing.cut_out(checked, drawing.make_soft_alpha(self._iterate_logits(), self.size))
        return drawing.cut_out(checked, drawing.make_binary_alpha(self._iterate_binary(), self.size))

    def apply_effect(
        self,
        image: ImageSource,
        effect: str,
        *,
        background: str | Sequence[int] | NDArray[np.uint8] = effects.WHITE,
    ) -> NDArray[np.uint8]:
        """Apply an effect to the background or to the objects, all masks together. Edges are soft.

        - `blur`: the background is blurred;
        - `blur_objects`: the objects are blurred beyond recognition, with a rim around them;
        - `spotlight`: the background is darkened;
        - `background`: the background is replaced.

        Args:
            image: The image of the masks: whatever `read_image` takes, such as a path or an array (H, W, 3) uint8 RGB.
            effect: Name of the effect.
            background: What replaces the background: a color (its CSS name or RGB values), or an image (h, w, 3) uint8,
                scaled and cropped to cover the masks' image.

        Returns:
            RGB image (H, W, 3) uint8.

        Raises:
            ImageError: `bad-image`. The image has another size than the masks. Also the errors of `read_image`.
            SettingsError: `bad-usage`. There is no such effect, or the background is invalid.
        """
        apply = effects.find_effect(effect)
        checked = drawing.read_image_of_masks(image, self.size)
        alpha = effects.make_alpha_of_logits(self._iterate_logits(), self.size)
        return apply(checked, alpha, effects.check_background(background))

    def save(self, path: str | Path) -> None:
        """Write the masks to a file, atomically. The suffix selects the format.

        - `.png`: one mask in black and white; several as a label map with the palette of DAVIS, where the smallest id
          wins overlaps, with 16 bits per pixel if an id is above 255;
        - `.json`: `size`, and for each mask its object id, scores, area, box (xyxy) and COCO's RLE;
        - `.npz`: the fields as NumPy arrays, logits as they are in `low_res`. If masks have crops, which their logits
          cover, `crops` (N, 4) int64 are their left, top, right and bottom, with a row of −1 for the whole image.

        Labels are written if there are any: in a PNG as JSON by object id in the text chunk `masklet:labels`, in the
        other formats as `label` of each mask and as the array `labels`, where "" is None.

        Args:
            path: The file, which is replaced if it exists.

        Raises:
            FormatError: `unsupported-format`. The suffix is another one, or an object id does not fit a label map.
            ResourceError: The file cannot be written.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in _SUFFIXES:
            raise FormatError("unsupported-format", f"{target}: masks are saved as .png, .json or .npz")
        with atomic_write(target) as handle:
            if suffix == ".png":
                mask_files.write_png(handle, self.binary, self.object_ids, self.size, self.labels)
            elif suffix == ".json":
                mask_files.write_json(handle, self.size, self._list_columns())
            else:
                mask_files.write_npz(handle, **self._list_arrays())

    def _list_arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "low_res": self.low_res,
            "size": np.array(self.size),
            "scores": self.scores,
            "object_ids": np.array(self.object_ids, np.int64),
            "object_scores": self.object_scores,
            **({"crops": mask_files.crops_to_array(self.crops)} if any(self.crops) else {}),
            **({"labels": np.array([label or "" for label in self.labels])} if any(self.labels) else {}),
        }

    def _list_columns(self) -> dict[str, Sequence[Any]]:
        return {
            "object_id": self.object_ids,
            **({"label": self.labels} if any(self.labels) else {}),
            "score": self.scores.tolist(),
            "object_score": self.object_scores.tolist(),
            "area": self.areas.tolist(),
            "box": self.boxes.tolist(),
            "rle": self.to_rle(),
        }

    def _compute_logits(self) -> NDArray[Any]:
        """Compute `logits` without caching them."""
        if self._has_full_logits:
            return self.low_res
        if "logits" in self.__dict__:
            return self.logits
        logits = np.empty((len(self), *self.size), self.low_res.dtype)
        for position, mask_logits in enumerate(self._iterate_logits()):
            logits[position] = mask_logits
        return logits

    def _iterate_logits(self) -> Iterator[NDArray[Any]]:
        if "logits" in self.__dict__:
            return iter(self.logits)
        return (
            resize_logits(logits, self.size) if crop is None else crop.paste(logits, self.size)
            for logits, crop in zip(self.low_res, self.crops, strict=True)
        )

    def _iterate_binary(self) -> Iterator[NDArray[np.bool_]]:
        if "binary" in self.__dict__:
            return iter(self.binary)
        if "logits" in self.__dict__:
            return (logits > 0 for logits in self.logits)
        return (
            resize_logits(logits, self.size) > 0 if crop is None else crop.paste_mask(logits, self.size)
            for logits, crop in zip(self.low_res, self.crops, strict=True)
        )

    @property
    def _has_full_logits(self) -> bool:
        return self.low_res.shape[1:] == self.size and not any(self.crops)

    def _map_logits(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Masks:
        """Return new masks with each mask's low-resolution logits changed."""
        return (
            replace(self, low_res=np.stack([change(mask_logits) for mask_logits in self.low_res]))
            if len(self)
            else self
        )


def format_object_ids(object_ids: Sequence[int]) -> str:
    """Format object ids as `[1, 2, 3]`, at most the first eight."""
    return _format_list([*map(str, object_ids)])


def _format_list(items: Sequence[str]) -> str:
    return f"[{', '.join([*items[:_SHOWN], *([f'… {len(items)} in all'] if len(items) > _SHOWN else [])])}]"


def _share_of_crop(shares: NDArray[Any], size: tuple[int, int], crop: Crop | None) -> NDArray[Any]:
    """Convert points (P, 2) xy as fractions of an image of `size` (H, W) to fractions of a crop of it."""
    if crop is None:
        return shares
    return np.asarray((shares * size[::-1] - (crop.left, crop.top)) / crop.size[::-1])


def _make_read_only(array: NDArray[Number]) -> NDArray[Number]:
    array.flags.writeable = False
    return array


def _to_column(values: ArrayLike | None, count: int, default: float) -> NDArray[np.float32]:
    return np.full(count, default, np.float32) if values is None else np.asarray(values, np.float32)


def _to_integers(values: Sequence[int], what: str) -> tuple[int, ...]:
    try:
        return tuple(operator.index(value) for value in values)
    except TypeError as cause:
        raise _shape_error(f"{what} must be whole numbers, got {values}") from cause


def _to_labels(values: Sequence[str | None], count: int) -> tuple[str | None, ...]:
    if isinstance(values, str) or len(values) not in (0, count):
        raise _shape_error(f"{count} masks need as many labels, got {values!r:.60}")
    return tuple(None if value is None else check_label(value) for value in values) or (None,) * count


def _shape_error(message: str) -> PromptError:
    return PromptError("mask-shape", message)

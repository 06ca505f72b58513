"""`SAM2ImagePredictor`: masks of images from points, boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from typing_extensions import Self

from masklet.backend import LOGIT_LIMIT, Features, Predictions, Query, Recall, build_query
from masklet.compat.sam2.array import to_numpy
from masklet.compat.sam2.build_sam import build_sam2_hf
from masklet.compat.sam2.modeling.sam2_base import SAM2Base
from masklet.compat.sam2.utils.transforms import SAM2Transforms, to_rgb
from masklet.config import NOT_A_POINT, NUM_CANDIDATES, STRIDES
from masklet.errors import PromptError, StateError
from masklet.prompts import BOTTOM_RIGHT, TOP_LEFT

Floats = NDArray[np.float32]


class SAM2ImagePredictor:
    """Predictor of masks on an image, or on each of several images.

    Attributes:
        model: The model.
        mask_threshold: Logit above which a pixel belongs to the mask.
    """

    def __init__(
        self,
        sam_model: SAM2Base,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Make a predictor.

        Args:
            sam_model: Result of `build_sam2`.
            mask_threshold: Logit above which a pixel belongs to the mask.
            max_hole_area: The largest area of a hole that is filled, in low-resolution pixels.
            max_sprinkle_area: The largest area of an island that is removed, in low-resolution pixels.
            **kwargs: Have no effect.
        """
        self.model = sam_model
        self.mask_threshold = mask_threshold
        self._transforms = SAM2Transforms(sam_model.image_size, mask_threshold, max_hole_area, max_sprinkle_area)
        self._bb_feat_sizes = [(sam_model.image_size // stride,) * 2 for stride in STRIDES]
        self.reset_predictor()

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> Self:
        """Build a predictor of a released model.

        Args:
            model_id: Name on the Hugging Face Hub, see `build_sam2_hf`.
            **kwargs: Arguments of `build_sam2` and of the predictor.
        """
        return cls(build_sam2_hf(model_id, **kwargs), **kwargs)

    def set_image(self, image: NDArray[Any] | Image) -> None:
        """Encode an image for `predict`. After an error no image is set.

        Args:
            image: PIL image, or array (H, W, 3) uint8 RGB.

        Raises:
            NotImplementedError: It is neither.
            ImageError: The array has another shape or dtype.
        """
        self.reset_predictor()
        if not isinstance(image, np.ndarray | Image):
            raise NotImplementedError("Image format not supported")
        self._encode([to_rgb(image)])

    def set_image_batch(self, image_list: list[NDArray[Any]]) -> None:
        """Encode several images for `predict_batch`. After an error no image is set.

        Args:
            image_list: Arrays (H, W, 3) uint8 RGB of any sizes.

        Raises:
            AssertionError: It is not a list of arrays.
            ImageError: An array has another shape or dtype.
        """
        self.reset_predictor()
        _check(isinstance(image_list, list), f"image_list must be a list, got {type(image_list).__name__}")
        for image in image_list:
            _check(
                isinstance(image, np.ndarray),
                "Images are expected to be an np.ndarray in RGB format, and of shape  HWC",
            )
        self._encode([to_rgb(image) for image in image_list])
        self._is_batch = True

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[Floats, Floats, Floats]:
        """Predict masks of the image.

        Args:
            point_coords: Points (N, 2), or (B, N, 2) for B objects: x and y in pixels of the image. They may lie
                outside.
            point_labels: Labels (N,) or (B, N): 1 for the object, 0 for the background, −1 for a point to ignore.
            box: Box (4,) or boxes (B, 4) xyxy in pixels.
            mask_input: Low-resolution logits (1, h, w) or (B, 1, h, w) that the prediction starts from.
            multimask_output: Predict three masks per object, or one.
            return_logits: Return logits, not masks.
            normalize_coords: Coordinates are pixels. If false, they are fractions in [0, 1].

        Returns:
            Masks (C, H, W), predicted IoUs (C,) and low-resolution logits (C, h, w) clamped to ±32, with C = 3 or 1; of
            several objects (B, C, …). All are float32; masks are 0 and 1.

        Raises:
            StateError: No image is set. It is also a `RuntimeError`.
            AssertionError: Points have no labels.
            PromptError: The numbers of points, labels, boxes or masks do not fit.
        """
        self._require_image("An image must be set with .set_image(...) before mask prediction.")
        prompts = self._prep_prompts(point_coords, point_labels, box, mask_input, normalize_coords)
        return self._predict_arrays(prompts, multimask_output, return_logits, -1)

    def predict_batch(
        self,
        point_coords_batch: Sequence[Any] | None = None,
        point_labels_batch: Sequence[Any] | None = None,
        box_batch: Sequence[Any] | None = None,
        mask_input_batch: Sequence[Any] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[list[Floats], list[Floats], list[Floats]]:
        """Predict masks of each image of `set_image_batch`.

        Args:
            point_coords_batch: For each image what `predict` takes.
            point_labels_batch: The same.
            box_batch: The same.
            mask_input_batch: The same.
            multimask_output: See `predict`.
            return_logits: See `predict`.
            normalize_coords: See `predict`.

        Returns:
            Lists of masks, predicted IoUs and low-resolution logits, one item per image.

        Raises:
            AssertionError: The images were not set by `set_image_batch`, or points have no labels.
            PromptError: See `predict`.
        """
        _check(self._is_batch, "This function should only be used when in batched mode")
        self._require_image("An image must be set with .set_image_batch(...) before mask prediction.")
        results = []
        for index in range(len(self._orig_hw)):
            given = (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
            coords, labels, box, mask = (None if values is None else values[index] for values in given)
            prompts = self._prep_prompts(coords, labels, box, mask, normalize_coords, img_idx=index)
            results.append(self._predict_arrays(prompts, multimask_output, return_logits, index))
        masks, ious, low_res = ([result[k] for result in results] for k in range(3))
        return masks, ious, low_res

    def get_image_embedding(self) -> Any:
        """Return the features (1, C, h, w) of the image at stride 16, as the mask decoder takes them.

        Raises:
            StateError: No image is set. It is also a `RuntimeError`.
        """
        self._require_image("An image must be set with .set_image(...) to generate an embedding.")
        return self._features["image_embed"]

    @property
    def device(self) -> Any:
        """Device of the model."""
        return self.model.device

    def reset_predictor(self) -> None:
        """Forget the image."""
        self._is_image_set = False
        self._is_batch = False
        self._features: Any = None
        self._orig_hw: Any = None

    def _encode(self, images: list[NDArray[Any]]) -> None:
        """Encode images, then set them."""
        backend = self.model.backend
        encoded = [backend.attend(features, [Recall()]) for features in backend.encode(images)]
        levels = [[self.model.make_tensor(level) for level in features] for features in encoded]
        stride4, stride8, stride16 = map(_concatenate, zip(*levels, strict=True))
        self._features = {"image_embed": stride16, "high_res_feats": [stride4, stride8]}
        self._orig_hw = [image.shape[:2] for image in images]
        self._is_image_set = True

    def _require_image(self, message: str) -> None:
        if not self._is_image_set:
            raise StateError("bad-usage", message)

    def _predict_arrays(
        self, prompts: tuple[Any, Any, Any, Any], multimask_output: bool, return_logits: bool, img_idx: int
    ) -> tuple[Floats, Floats, Floats]:
        mask_input, coords, labels, box = prompts
        predicted = self._predict(coords, labels, box, mask_input, multimask_output, return_logits, img_idx)
        masks, ious, low_res = (to_numpy(values).astype(np.float32) for values in predicted)
        return (masks[0], ious[0], low_res[0]) if len(masks) == 1 else (masks, ious, low_res)

    def _prep_prompts(
        self,
        point_coords: Any,
        point_labels: Any,
        box: Any,
        mask_logits: Any,
        normalize_coords: bool,
        img_idx: int = -1,
    ) -> tuple[Any, Any, Any, Any]:
        """Convert prompts to the tensors of `_predict`: mask, points, labels and corners of boxes."""
        dtype, size = np.float64 if self.model.is_double else np.float32, self._orig_hw[img_idx]
        coords = labels = corners = mask = None
        if point_coords is not None:
            _check(point_labels is not None, "point_labels must be supplied if point_coords is supplied.")
            points = self.model.make_tensor(_to_array(point_coords, dtype, "point_coords"))
            coords = self._transforms.transform_coords(points, normalize=normalize_coords, orig_hw=size)
            labels = self.model.make_tensor(_to_array(point_labels, np.int32, "point_labels"))
            if len(coords.shape) == 2:
                coords, labels = coords[None], labels[None]
        if box is not None:
            boxes = self.model.make_tensor(_to_array(box, dtype, "box"))
            corners = self._transforms.transform_boxes(boxes, normalize=normalize_coords, orig_hw=size)
        if mask_logits is not None:
            mask = self.model.make_tensor(_to_array(mask_logits, dtype, "mask_input"))
            mask = mask[None] if len(mask.shape) == 3 else mask
        return mask, coords, labels, corners

    def _predict(
        self,
        point_coords: Any,
        point_labels: Any,
        boxes: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        img_idx: int = -1,
    ) -> tuple[Any, Any, Any]:
        """Predict masks of prompts in the network's frame, see `SAM2Transforms`.

        Args:
            point_coords: Tensor (B, N, 2), or None.
            point_labels: Tensor (B, N), or None.
            boxes: Tensor (B, 4) or (B, 2, 2), or None.
            mask_input: Tensor (B, 1, h, w), or None.
            multimask_output: See `predict`.
            return_logits: See `predict`.
            img_idx: Position of the image among those that are set.

        Returns:
            Tensors: masks (B, C, H, W) bool or logits, predicted IoUs (B, C), low-resolution logits (B, C, h, w)
            clamped to ±32.
        """
        self._require_image("An image must be set with .set_image(...) before mask prediction.")
        queries = _build_queries(
            _join_prompts(point_coords, point_labels, boxes, self.model.image_size),
            None if mask_input is None else to_numpy(mask_input),
            multimask_output,
        )
        predictions = self._decode(img_idx, queries, multimask_output)
        shape = (len(queries), NUM_CANDIDATES if multimask_output else 1)
        low_res = predictions.logits.reshape(*shape, *predictions.logits.shape[1:])
        masks = self._transforms.resize_to_image(low_res, self._orig_hw[img_idx])
        results = (
            masks if return_logits else masks > self.mask_threshold,
            predictions.iou.reshape(shape),
            low_res.clip(-LOGIT_LIMIT, LOGIT_LIMIT),
        )
        masks, ious, low_res = (self.model.make_tensor(values) for values in results)
        return masks, ious, low_res

    def _decode(self, img_idx: int, queries: Sequence[Query], multimask: bool) -> Predictions:
        levels = (*self._features["high_res_feats"], self._features["image_embed"])
        features = Features(*(self.model.to_backend(level[img_idx][None]) for level in levels))
        backend = self.model.backend
        decoded = backend.decode(features, queries)
        return backend.fetch_candidates(decoded) if multimask else backend.fetch([decoded])


def _join_prompts(
    coords: Any, labels: Any, boxes: Any, side: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]] | None:
    """Join boxes and points of B objects: points (B, P, 2) as fractions and labels (B, P), corners of boxes first."""
    parts = []
    if boxes is not None:
        corners = to_numpy(boxes).reshape(-1, 2, 2)
        parts.append((corners, np.tile(np.array([TOP_LEFT, BOTTOM_RIGHT], np.int32), (len(corners), 1))))
    if coords is not None:
        parts.append((to_numpy(coords), to_numpy(labels).astype(np.int32)))
    if not parts:
        return None
    for points, numbers in parts:
        if points.shape != (*numbers.shape, 2) or len(points) != len(parts[0][0]):
            shapes = f"points {points.shape} with labels {numbers.shape}, of {len(parts[0][0])} objects"
            raise PromptError("bad-prompt", f"points must be (B, N, 2), labels (B, N) and boxes (B, 4), got {shapes}")
        if not np.isin(numbers, (NOT_A_POINT, 0, 1, TOP_LEFT, BOTTOM_RIGHT)).all():
            raise PromptError("bad-prompt", f"labels must be 1, 0 or −1, got {np.unique(numbers).tolist()}")
    points, numbers = (np.concatenate(values, axis=1) for values in zip(*parts, strict=True))
    return points.astype(np.float64) / side, numbers


def _build_queries(
    prompts: tuple[NDArray[np.float64], NDArray[np.int32]] | None, masks: NDArray[Any] | None, multimask: bool
) -> list[Query]:
    """Build the query of each object. One mask serves all objects."""
    count = len(prompts[0]) if prompts else 1 if masks is None else len(masks)
    points, labels = prompts or (np.zeros((count, 0, 2)), np.zeros((count, 0), np.int32))
    if masks is not None and (masks.ndim != 4 or masks.shape[1] != 1 or len(masks) not in (1, count)):
        message = f"mask_input must be (1, h, w) or ({count}, 1, h, w), got shape {masks.shape}"
        raise PromptError("mask-shape", message)
    refined = [None if masks is None else masks[k % len(masks)] for k in range(count)]
    return [build_query(points[k], labels[k], mask, ambiguous=multimask) for k, mask in enumerate(refined)]


def _concatenate(tensors: Sequence[Any]) -> Any:
    """Concatenate tensors or arrays along the first axis."""
    if len(tensors) == 1:
        return tensors[0]
    if hasattr(tensors[0], "new_empty"):
        import torch

        return torch.cat(tuple(tensors))
    return type(tensors[0])(np.concatenate([to_numpy(tensor) for tensor in tensors]))


def _to_array(values: Any, dtype: Any, name: str) -> NDArray[Any]:
    try:
        return np.array(to_numpy(values), dtype=dtype)
    except (TypeError, ValueError) as cause:
        raise PromptError("bad-prompt", f"{name} must be numbers in an array, got {values!r:.60}") from cause


def _check(condition: bool, message: str) -> None:
    """Raise `AssertionError`, which the reference's programs expect, with any options of Python."""
    if not condition:
        raise AssertionError(message)

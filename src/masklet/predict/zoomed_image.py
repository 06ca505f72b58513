"""Encoded image that predicts each object in a zoomed crop.

The network resizes every image to its square input and predicts masks at a quarter of that resolution. A small object
covers more of these pixels in a crop than in the full image.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend
from masklet.masks.iou import masks_to_boxes
from masklet.masks.masks import Masks
from masklet.predict.crop import (
    ZOOM_PASSES,
    Crop,
    crop_around,
    include_points,
    paste_masks,
    positive_points,
    prompt_box,
)
from masklet.predict.embedded_image import FullImage, masks_to_refine
from masklet.predict.sam2_arguments import refuse_sam2_arguments
from masklet.prompts import Prompt, Prompts, group_by_object

MAX_CROPS = 8
"""Encoded crops that an image keeps, beside the full image. Float32 features of a crop take 0.5 MB with nano at 256
pixels and 17 MB with a released model at 1024, so that an image keeps 4 MB and 134 MB of them at most."""


@dataclass(frozen=True, eq=False)
class ZoomedImage:
    """`EmbeddedImage` of a model with a zoom: each object is predicted in a crop of `zoom` × the size of its box.

    The box comes from the prompt, else from the mask that is given or refined, else from the clicked connected
    components of a prediction on the full image. In the last case the box of the prediction in the first crop places
    a second crop. An object that fills most of the image is predicted on the full image.

    The full image is encoded once, by `encode` or at the first prompt that needs it. Encoded crops are kept in a cache
    that drops the least recently used one, at most `MAX_CROPS`: prompts in the same crop encode it once.

    Attributes:
        backend: Backend with the model.
        image: The image, (H, W, 3) uint8 RGB. Crops are cut out of it later, so that it must not change.
        zoom: Side of a crop divided by the longer side of its object's box.
    """

    backend: Backend
    image: NDArray[np.uint8]
    zoom: float
    _crops: OrderedDict[Crop, FullImage] = field(default_factory=OrderedDict, init=False)

    def __repr__(self) -> str:
        return f"ZoomedImage(size={self.size}, zoom={self.zoom:g})"

    @staticmethod
    def encode(backend: Backend, images: Sequence[NDArray[np.uint8]], zoom: float) -> list[ZoomedImage]:
        """Encode full images (H, W, 3) uint8 RGB of any sizes in one call."""
        zoomed = [ZoomedImage(backend, image, zoom) for image in images]
        for image_with_crops, full in zip(zoomed, FullImage.encode(backend, images), strict=True):
            vars(image_with_crops)["full"] = full  # the cached property's value
        return zoomed

    @property
    def size(self) -> tuple[int, int]:
        """The image's (H, W) in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @cached_property
    def full(self) -> FullImage:
        """The full image, encoded when it is first needed."""
        return FullImage.encode(self.backend, [self.image])[0]

    @refuse_sam2_arguments("predict({})")
    def predict(self, prompts: Prompts, *, multimask: bool | None = None, refine: Masks | None = None) -> Masks:
        """Predict each object in its crop: see `EmbeddedImage.predict`. The logits have the image's size."""
        by_object = group_by_object(prompts)
        for prompt in by_object.values():
            prompt.normalize_points(self.size)  # before anything is computed
        refined = masks_to_refine(by_object, refine)
        return Masks.join([self._predict(key, by_object[key], refined.get(key), multimask) for key in by_object])

    def _predict(self, key: int, prompt: Prompt, refined: Masks | None, multimask: bool | None) -> Masks:
        """Predict one object, in its crop if it has one."""
        if refined is not None:
            refined = replace(refined, size=self.size)  # its size may differ if the image was resized since
        box = prompt_box(prompt, self.size)
        if box is None and refined is not None:
            box = _box_of(refined)
        has_box = box is not None
        masks = None if has_box else self.full.predict({key: prompt}, multimask=multimask, refine=refined)
        for _ in range(1 if has_box else ZOOM_PASSES):
            if masks is not None:
                clicked_masks = _keep_clicked(masks, prompt)
                refined, box = clicked_masks.best, _box_of(clicked_masks)
            zoomed = None if box is None else self._predict_in_crop(key, prompt, refined, box, multimask)
            if zoomed is None:
                break
            masks = zoomed
        return masks or self.full.predict({key: prompt}, multimask=multimask, refine=refined)

    def _predict_in_crop(
        self, key: int, prompt: Prompt, refined: Masks | None, box: NDArray[np.float64], multimask: bool | None
    ) -> Masks | None:
        """Predict one object in the crop around a box, then refine its mask with a second call of the decoder.

        Return None if the crop would cover most of the image or would contain nothing of the prompt.
        """
        crop = crop_around(include_points(box, prompt), self.size, self.zoom)
        prompt_in_crop = None if crop is None else crop.to_crop(prompt, self.size)
        if crop is None or prompt_in_crop is None:
            return None
        earlier = None if refined is None else Masks.from_logits(crop.cut(refined.logits[0])[None], crop.size)
        embedded = self._embed(crop)
        masks = embedded.predict({key: prompt_in_crop}, multimask=multimask, refine=earlier)
        if prompt_in_crop.mask is None and not multimask:
            masks = embedded.predict({key: prompt_in_crop}, multimask=multimask, refine=masks)
        return paste_masks(replace(masks, size=self.size), [crop] * len(masks))

    def _embed(self, crop: Crop) -> FullImage:
        """Return the encoded crop, from the cache if it is there."""
        embedded = self._crops.pop(crop, None) or FullImage.encode(self.backend, [crop.cut(self.image)])[0]
        self._crops[crop] = embedded  # the last one is the most recently used
        if len(self._crops) > MAX_CROPS:
            self._crops.popitem(last=False)
        return embedded


def _keep_clicked(masks: Masks, prompt: Prompt) -> Masks:
    """Keep the clicked components of one object's masks.

    On the full image, one mask can cover several similar objects, which are separate in a crop.
    """
    points = positive_points(prompt)
    return masks.postprocess(keep_points=points) if len(points) and masks.binary.any() else masks


def _box_of(masks: Masks) -> NDArray[np.float64] | None:
    """Return the box (x0, y0, x1, y1) around one object's masks; None if all are empty."""
    box = masks_to_boxes([np.asarray(masks.binary.any(axis=0))])[0]
    return box.astype(np.float64) if box.any() else None

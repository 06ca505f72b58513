"""Detection function of CVAT: automatic masks of images, all with one label."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cvat_sdk.auto_annotation as cvataa
from PIL import Image

from masklet.masks import rle
from masklet.masks.cvat_shapes import MASK, POLYGON, encode_shape
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.segmenter import Segmenter, load

LABEL = "object"


class Detector:
    """Automatic masks of an image, as `cvat_sdk.auto_annotation.DetectionFunction`.

    Args:
        model: The model.
        label: Name of the label of all shapes, which a task must have.
        options: Options of the mask generator. CVAT's confidence threshold takes the place of `pred_iou_thresh`.
    """

    def __init__(self, model: Segmenter, label: str = LABEL, options: MaskGeneratorOptions | None = None) -> None:
        self._model, self._options = model, options or MaskGeneratorOptions()
        self._spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec(label, 0, type="mask")])

    @property
    def spec(self) -> cvataa.DetectionFunctionSpec:
        """The label."""
        return self._spec

    def detect(self, context: cvataa.DetectionFunctionContext, image: Image.Image) -> list[Any]:
        """Return a mask for each object, or a polygon of its largest part where the context asks for polygons."""
        options = self._options
        if context.conf_threshold is not None:
            options = replace(options, pred_iou_thresh=context.conf_threshold)
        kind = POLYGON if context.conv_mask_to_poly else MASK
        make = cvataa.polygon if context.conv_mask_to_poly else cvataa.mask
        found = self._model.generate_masks(image.convert("RGB"), options)
        return [make(0, encode_shape(kind, rle.decode(one.rle))) for one in found]


def create(
    model: str = "nano",
    *,
    label: str = LABEL,
    points_per_side: int = 32,
    device: str | None = None,
    dtype: str | None = None,
    runtime: str | None = None,
) -> Detector:
    """Create the function, with parameters of cvat-cli such as `-p model=str:sam2.1-tiny`.

    Args:
        model: Name or path of a model, as of `masklet.load`.
        label: Name of the label of all shapes.
        points_per_side: Points along each side of the grid.
        device: See `masklet.load`.
        dtype: See `masklet.load`.
        runtime: See `masklet.load`.
    """
    loaded = load(model, device=device, dtype=dtype, runtime=runtime)
    return Detector(loaded, label, MaskGeneratorOptions(points_per_side=points_per_side))

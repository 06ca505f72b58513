"""Tracking function of CVAT: shapes that are followed through the frames of a task."""

from __future__ import annotations

import cvat_sdk.auto_annotation as cvataa
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.images import read_image
from masklet.integrations.cvat.shape_track import ShapeTrack, SharedEmbeddings
from masklet.masks.cvat_shapes import SHAPE_TYPES
from masklet.segmenter import Segmenter, load


class ShapeTracker:
    """Masks, polygons and rectangles in video, as `cvat_sdk.auto_annotation.TrackingFunction`.

    The states hold the memories of one object each, and CVAT's agent keeps them for eight hours. Shapes of the same
    frame share its embedding.

    Args:
        model: The model.
    """

    def __init__(self, model: Segmenter) -> None:
        self._model, self._backend = model, SharedEmbeddings(model.backend)
        self._spec = cvataa.TrackingFunctionSpec(supported_shape_types=SHAPE_TYPES)

    @property
    def spec(self) -> cvataa.TrackingFunctionSpec:
        """The types of shapes that are followed."""
        return self._spec

    def preprocess_image(self, context: cvataa.TrackingFunctionContext, image: Image.Image) -> NDArray[np.uint8]:
        """Decode an image. It is encoded when the first shape on it is followed."""
        return read_image(image.convert("RGB"))

    def init_tracking_state(
        self,
        context: cvataa.TrackingFunctionShapeContext,
        pp_image: NDArray[np.uint8],
        shape: cvataa.TrackableShape,
    ) -> ShapeTrack:
        """Begin to follow a shape.

        Raises:
            PromptError: The shape has no area in the image.
        """
        return ShapeTrack(self._model, shape.type, shape.points, pp_image, self._backend)

    def track(
        self, context: cvataa.TrackingFunctionShapeContext, pp_image: NDArray[np.uint8], state: ShapeTrack
    ) -> cvataa.TrackableShape | None:
        """Return the shape on the next frame; None if its object is not found there."""
        points = state.follow(pp_image)
        return None if points is None else cvataa.TrackableShape(type=state.kind, points=points)


def create(
    model: str = "nano",
    *,
    memory: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    runtime: str | None = None,
) -> ShapeTracker:
    """Create the function, with parameters of cvat-cli such as `-p model=str:sam2.1-tiny`.

    Args:
        model: Name or path of a model, as of `masklet.load`.
        memory: Memory policy, such as "samurai"; see `masklet.load`.
        device: See `masklet.load`.
        dtype: See `masklet.load`.
        runtime: See `masklet.load`.
    """
    return ShapeTracker(load(model, memory=memory, device=device, dtype=dtype, runtime=runtime))

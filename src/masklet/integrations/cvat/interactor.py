"""Interaction function of CVAT: the mask of an object from points and a box."""

from __future__ import annotations

import cvat_sdk.auto_annotation as cvataa
from cvat_sdk import models
from PIL import Image

from masklet.masks.cvat_shapes import MASK, encode_shape, make_click_prompt
from masklet.predict.embedded_image import EmbeddedImage
from masklet.segmenter import Segmenter, load


class Interactor:
    """Masks of prompted objects, as `cvat_sdk.auto_annotation.InteractionFunction`.

    Args:
        model: The model.
    """

    def __init__(self, model: Segmenter) -> None:
        self._model = model
        self._spec = cvataa.InteractionFunctionSpec(min_pos_points=1, min_neg_points=0, min_bounding_boxes=0)

    @property
    def spec(self) -> cvataa.InteractionFunctionSpec:
        """At least one positive point, any negative points, and an optional box."""
        return self._spec

    def preprocess_image(self, context: cvataa.InteractionFunctionContext, image: Image.Image) -> EmbeddedImage:
        """Encode an image, which CVAT's agent keeps for ten minutes."""
        return self._model.embed(image.convert("RGB"), warn=False)

    def detect(
        self,
        context: cvataa.InteractionFunctionContext,
        pp_image: EmbeddedImage,
        prompts: cvataa.InteractionPrompts,
    ) -> list[cvataa.InteractionResultShape]:
        """Return the mask with its predicted IoU as confidence; nothing if it is empty.

        Raises:
            PromptError: A point lies outside the image.
        """
        masks = pp_image.predict(make_click_prompt(prompts.pos_points, prompts.neg_points, prompts.bounding_box))
        if not masks.areas[0]:
            return []
        confidence = models.AttributeValRequest(
            spec_id=int(cvataa.InteractionResultAttributes.CONFIDENCE), value=f"{min(max(masks.scores[0], 0), 1):.4f}"
        )
        points = encode_shape(MASK, masks.binary[0])
        return [cvataa.InteractionResultShape(type=MASK, points=points, attributes=[confidence])]


def create(
    model: str = "nano", *, device: str | None = None, dtype: str | None = None, runtime: str | None = None
) -> Interactor:
    """Create the function, with parameters of cvat-cli such as `-p model=str:sam2.1-tiny`.

    Args:
        model: Name or path of a model, as of `masklet.load`.
        device: See `masklet.load`.
        dtype: See `masklet.load`.
        runtime: See `masklet.load`.
    """
    return Interactor(load(model, device=device, dtype=dtype, runtime=runtime))

"""ImageModel: prompts or automatic masks of the images, or the frames, of a FiftyOne dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from masklet.images import read_image
from masklet.integrations.fiftyone.base_model import BaseModel, Output
from masklet.integrations.fiftyone.labels import read_prompts
from masklet.masks.masks import Masks
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.segmenter import Segmenter


class ImageModel(BaseModel):
    """Model that segments images: a mask for each label of `prompt_field`, or everything without one.

    Boxes of detections are the prompts, also where these have instance masks. On a video collection, frames are
    segmented one by one.

    Args:
        model: The model. By default the embedded one is loaded.
        output: "detections" with instance masks, or one "segmentation" of an image.
        mask_targets: Name of each value of a segmentation. By default values are object ids.
        options: Options of the mask generator, which is used without prompts.

    Example:
        >>> from masklet.integrations.fiftyone import ImageModel
        >>> dataset.apply_model(ImageModel(), label_field="masks", prompt_field="ground_truth")
        >>> dataset.apply_model(ImageModel(), label_field="everything")
    """

    media_type = "image"

    def __init__(
        self,
        model: Segmenter | None = None,
        *,
        output: Output = "detections",
        mask_targets: Mapping[int, str] | None = None,
        options: MaskGeneratorOptions | None = None,
    ) -> None:
        super().__init__(model, output=output, mask_targets=mask_targets)
        self._options = options

    def predict(self, arg: Any, sample: Any = None) -> Any:
        """Return the label of one image (H, W, C) uint8, whose sample or frame has the prompts.

        Raises:
            PromptError: The field holds no prompts, or one is invalid.
        """
        return self.predict_all([arg], [sample])[0]

    def predict_all(self, args: Sequence[Any], samples: Sequence[Any] | None = None) -> list[Any]:
        """Return the labels of several images; those with prompts are encoded in one call."""
        images = [read_image(image) for image in args]
        field = self.prompt_field
        if field is None:
            return [self._to_label(self.segmenter.generate_masks(image, self._options).to_masks()) for image in images]
        labels = [sample[field] for sample in samples or ()]
        prompts = [
            read_prompts(label, (image.shape[0], image.shape[1]), use_masks=False)
            for image, label in zip(images, labels, strict=True)
        ]
        prompted = [image for image, own in zip(images, prompts, strict=True) if own]
        embedded = iter(self.segmenter.embed(prompted, warn=False) if prompted else ())
        return [
            self._to_label(
                next(embedded).predict(own) if own else Masks.empty((int(image.shape[0]), int(image.shape[1])))
            )
            for image, own in zip(images, prompts, strict=True)
        ]

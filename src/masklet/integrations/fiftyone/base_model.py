"""What the models for FiftyOne share: their options, and the field of the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import fiftyone.core.models as fom

from masklet.errors import SettingsError
from masklet.integrations.fiftyone.labels import to_detections, to_segmentation
from masklet.masks.masks import Masks
from masklet.segmenter import Segmenter, load

Output = Literal["detections", "segmentation"]


class BaseModel(fom.SamplesMixin, fom.Model):  # type: ignore[misc]
    """Model that reads its prompts from the field `prompt_field` of `apply_model`, or works without prompts.

    Args:
        model: The model. By default the embedded one is loaded.
        output: "detections" with instance masks, or one "segmentation" of an image.
        mask_targets: Name of each value of a segmentation. By default values are object ids.
    """

    ragged_batches = True
    transforms = None
    preprocess = False
    config = None

    def __init__(
        self,
        model: Segmenter | None = None,
        *,
        output: Output = "detections",
        mask_targets: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__()
        if output not in ("detections", "segmentation"):
            raise SettingsError("bad-usage", f"output must be detections or segmentation, got {output!r:.60}")
        self.segmenter = load() if model is None else model
        self._output, self._targets = output, mask_targets

    @property
    def prompt_field(self) -> str | None:
        """The field of the prompts, without "frames."; None if there are no prompts."""
        field = self.needs_fields.get("prompt_field")
        return None if field is None else str(field).removeprefix("frames.")

    def _to_label(self, masks: Masks, instances: Mapping[int, Any] | None = None) -> Any:
        if self._output == "segmentation":
            return to_segmentation(masks, self._targets)
        return to_detections(masks, instances)

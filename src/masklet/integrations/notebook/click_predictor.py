"""Masks of clicks that arrive one by one: each click refines the mask of the clicks before it."""

from __future__ import annotations

from collections.abc import Sequence

from masklet.integrations.notebook.actions import Action, group_actions, make_prompt
from masklet.masks.masks import Masks
from masklet.predict.embedded_image import EmbeddedImage

_MAX_MASKS = 200  # kept for undo


class ClickPredictor:
    """Predicts the masks of an image's objects from actions.

    Masks are cached by the actions that they come from, so that only the object that changed is predicted, and undo
    computes nothing.

    Args:
        image: The encoded image.
    """

    def __init__(self, image: EmbeddedImage) -> None:
        self._image = image
        self._masks: dict[tuple[Action, ...], Masks] = {}

    def predict(self, actions: Sequence[Action]) -> Masks:
        """Predict one mask for each object with a positive click or a box, from what the user did, in order.

        Raises:
            PromptError: A click lies outside the image.
        """
        predicted = (self._predict_object(object_id, own) for object_id, own in group_actions(actions).items())
        parts = [masks for masks in predicted if masks is not None]
        return Masks.join(parts) if parts else Masks.empty(self._image.size)

    def _predict_object(self, object_id: int, actions: tuple[Action, ...]) -> Masks | None:
        """Predict an object's mask, starting with its longest part that is cached."""
        masks = None
        for count in range(1, len(actions) + 1):
            part = actions[:count]
            prompt = make_prompt(part)
            if not prompt.marks_object:
                continue
            if part not in self._masks:
                refined = masks if part[-1].kind == "click" else None
                self._store(part, self._image.predict({object_id: prompt}, refine=refined))
            masks = self._masks[part]
        return masks

    def _store(self, actions: tuple[Action, ...], masks: Masks) -> None:
        while len(self._masks) >= _MAX_MASKS:
            del self._masks[next(iter(self._masks))]
        self._masks[actions] = masks

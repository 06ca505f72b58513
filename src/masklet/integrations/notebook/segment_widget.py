"""SegmentWidget: an image in Jupyter on which objects are clicked, and whose masks are Python values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from masklet.errors import MaskletError
from masklet.images import read_image
from masklet.images.image_source import ImageSource
from masklet.integrations.notebook.actions import group_actions, make_prompt, read_actions
from masklet.integrations.notebook.click_predictor import ClickPredictor
from masklet.integrations.notebook.mask_layer import encode_image, encode_masks, fit_size
from masklet.masks.overlay import pick_color
from masklet.prompts import check_label
from masklet.segmenter import Segmenter, load

_FOLDER = Path(__file__).parent
_SHOWN_SIDE_PX = 1600


class SegmentWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """Image on which objects are clicked.

    A click adds to the object, a right click or a click with Shift excludes, and a drag draws a box. Ctrl+Z undoes, N
    starts a new object. Masks are predicted by the kernel after each action; `masks` and `prompts` are up to date once
    no other cell runs. `widget.observe(function, "masks")` calls a function after each prediction.

    Args:
        image: Whatever `read_image` takes.
        model: The model. By default the embedded one is loaded.
        labels: Labels of objects, the names of their classes, by object id.

    Attributes:
        masks: `Masks` of the objects at the image's size, in the order of their first click; each has the id of its
            object. Objects with only negative clicks have none.
        prompts: The prompt of each object, by object id, in pixels of the image: what `Segmenter.track` takes.
        object_id: The object that the next click is of.
        labels: Labels of objects. It can be assigned.

    Raises:
        InputNotFound: The file does not exist.
        ImageError: The image cannot be read.
        PromptError: A label is invalid.

    Example:
        >>> from masklet.integrations.notebook import SegmentWidget
        >>> widget = SegmentWidget("dog.jpg")
        >>> widget  # as the last line of a cell; click on the dog
        >>> widget.masks.save("dog.png")
    """

    _esm = _FOLDER / "segment_widget.js"
    _css = _FOLDER / "segment_widget.css"

    _image = traitlets.Bytes().tag(sync=True)  # a JPEG file
    _layer = traitlets.Bytes().tag(sync=True)  # a PNG file with transparency
    _size: Any = traitlets.List().tag(sync=True)  # width and height in pixels of the image
    _actions: Any = traitlets.List().tag(sync=True)  # what the user did, see `read_actions`
    _finished = traitlets.Int(0).tag(sync=True)  # number of actions that the masks are of
    _objects: Any = traitlets.List().tag(sync=True)  # id, color and name of each object
    _message = traitlets.Unicode("").tag(sync=True)
    object_id = traitlets.Int(1, min=1).tag(sync=True)
    labels: Any = traitlets.Dict()
    masks = traitlets.Any(read_only=True)
    prompts: Any = traitlets.Dict(read_only=True)

    def __init__(
        self, image: ImageSource, model: Segmenter | None = None, *, labels: Mapping[int, str] | None = None
    ) -> None:
        super().__init__(labels=dict(labels or {}))
        self._model = model or load()
        self.show_image(image)

    def show_image(self, image: ImageSource) -> None:
        """Show another image, without clicks. Raises the errors of `read_image`."""
        pixels = read_image(image)
        embedded = self._model.embed(pixels, warn=False)
        height, width = pixels.shape[:2]
        self._predictor, self._shown_size = ClickPredictor(embedded), fit_size((height, width), _SHOWN_SIDE_PX)
        with self.hold_sync():
            self._size, self._image = [width, height], encode_image(pixels, self._shown_size)
            self.clear()
            self._predict()

    def clear(self) -> None:
        """Remove all clicks and boxes."""
        self._actions, self.object_id = [], 1

    def undo(self) -> None:
        """Undo the last click or box."""
        self._actions = self._actions[:-1]

    @traitlets.validate("labels")
    def _check_labels(self, proposal: Any) -> dict[int, str]:
        return {int(object_id): check_label(label) for object_id, label in proposal["value"].items()}

    @traitlets.observe("_actions", "labels")
    def _update(self, _: Any) -> None:
        if hasattr(self, "_predictor"):
            with self.hold_sync():
                self._predict()

    @traitlets.observe("object_id")
    def _list_objects(self, _: Any = None) -> None:
        """List the objects that were clicked and the one that is clicked next."""
        used = {record["object"] for record in self._actions if isinstance(record, dict) and "object" in record}
        self._objects = [
            {"id": key, "color": "#{:02x}{:02x}{:02x}".format(*pick_color(key)), "name": self.labels.get(key, "")}
            for key in sorted({*used, self.object_id})
        ]

    def _predict(self) -> None:
        """Predict the masks of all actions. An error is shown in the page, and the masks do not change."""
        try:
            actions = read_actions(self._actions)
            masks = self._predictor.predict(actions)
            prompts = {key: make_prompt(own, self.labels.get(key)) for key, own in group_actions(actions).items()}
        except MaskletError as error:
            self._message = str(error)
        else:
            masks = replace(masks, labels=tuple(map(self.labels.get, masks.object_ids)))
            self._message = "; ".join(warning.message for warning in masks.warnings)
            self._layer = encode_masks(masks, self._shown_size)
            self._list_objects()
            self.set_trait("prompts", prompts)
            self.set_trait("masks", masks)
        self._finished = len(self._actions)

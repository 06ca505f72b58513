"""SegmentTarget: an image layer with the layers of its prompts and masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from masklet.integrations.napari.layer_images import open_layer
from masklet.integrations.napari.prompt_layers import Prompts, add_points, add_shapes, combine, read_prompts
from masklet.integrations.napari.stack_session import StackSession
from masklet.masks.label_map import make_label_map
from masklet.masks.masks import Masks
from masklet.prompts import Prompt, absent, mask
from masklet.segmenter import Segmenter


@dataclass(eq=False)
class SegmentTarget:
    """An image layer that is segmented, with its layers and its session.

    Attributes:
        image: The image layer.
        points: The points layer of its clicks.
        shapes: The shapes layer of its boxes and outlines.
        labels: The labels layer of its masks, whose values are object ids.
        painted: Prompts of painted labels, by frame and object.
        session: The session, once a model is loaded.
        written: Ids of the objects whose masks were written to the labels.
    """

    image: Any
    points: Any
    shapes: Any
    labels: Any
    painted: dict[tuple[int, int], Prompt] = field(default_factory=dict)
    session: StackSession | None = None
    written: set[int] = field(default_factory=set)

    @staticmethod
    def create(viewer: Any, image: Any) -> SegmentTarget:
        """Add the layers of prompts and masks of an image layer to a viewer.

        Raises:
            ImageError: The layer is not an image or a stack of images.
        """
        frames = open_layer(image)
        shape = (len(frames), *frames.size) if image.ndim == 3 else frames.size
        labels = viewer.add_labels(
            np.zeros(shape, np.int32), name=f"masks of {image.name}", scale=image.scale, translate=image.translate
        )
        return SegmentTarget(image, add_points(viewer, image), add_shapes(viewer, image), labels)

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers that the target cannot do without."""
        return self.image, self.points, self.shapes, self.labels

    def read_prompts(self) -> Prompts:
        """Read the prompts of all layers. Points are added to a painted mask, and replace a painted absence.

        Raises:
            PromptError: See `prompt_layers.read_prompts`.
        """
        prompts = read_prompts(self.image, self.points, self.shapes)
        for (frame, object_id), painted in self.painted.items():
            by_object = prompts.setdefault(frame, {})
            other = by_object.get(object_id)
            if other is None:
                by_object[object_id] = painted
            elif other.mask is None and painted.mask is not None and painted.mask.any():
                by_object[object_id] = combine([painted, other])
        return prompts

    def use_painted(self, frame: int, object_id: int) -> None:
        """Take the label of an object on a frame as its prompt; no pixels mean that the object is absent."""
        painted = self._view_frame(frame) == object_id
        self.painted[frame, object_id] = mask(painted) if painted.any() else absent()

    def run(self, model: Segmenter, prompts: Prompts, stop: Any, *, track: bool) -> Iterator[tuple[int, Masks]]:
        """Predict the prompts that changed, and then track if `track` is true. Another thread may run it.

        Args:
            model: The model. The session begins anew if it is another one.
            prompts: All prompts, as `read_prompts` returns them.
            stop: Called before each frame. Tracking ends if it returns true.
            track: Whether to track.

        Yields:
            Frame and masks of all objects.

        Raises:
            MaskletError: A prompt cannot be predicted, or a frame cannot be read.
        """
        if self.session is None or self.session.model is not model:
            self.session = StackSession(model, open_layer(self.image))
        update = self.session.prompt(prompts)
        yield from update.masks.items()
        if update.error is not None:
            raise update.error
        if track:
            yield from ((frame.index, frame.masks) for frame in self.session.track(stop))

    def write(self, frame: int, masks: Masks) -> None:
        """Write the masks of a frame to the labels layer. Labels of other objects remain where no mask covers them."""
        view = self._view_frame(frame)
        self.written |= {*masks.object_ids}
        view[np.isin(view, [*self.written])] = 0
        drawn = make_label_map(masks.binary, masks.object_ids, masks.size)
        np.copyto(view, drawn, where=drawn > 0, casting="unsafe")
        self.labels.refresh()

    def erase_removed(self) -> None:
        """Erase the labels of objects that have no prompts left from all frames."""
        removed = self.written - {*(self.session.object_ids if self.session else ())}
        if removed:
            self.labels.data[np.isin(self.labels.data, [*removed])] = 0
            self.written -= removed
            self.labels.refresh()

    def _view_frame(self, frame: int) -> Any:
        """Return the labels (H, W) of a frame, which can be written to."""
        return self.labels.data[frame] if self.labels.data.ndim == 3 else self.labels.data

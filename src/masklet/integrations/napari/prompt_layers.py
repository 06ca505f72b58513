"""Layers of prompts: points and shapes whose features name their object, and the prompts that they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import PromptError
from masklet.prompts import Prompt, box, click, mask

OBJECT, ROLE = "object", "role"
"""Names of the features: the object id; whether a point includes or excludes."""

INCLUDE, EXCLUDE = "include", "exclude"
_COLORS = {INCLUDE: "#00a050", EXCLUDE: "#d02020"}
_CORNER = 0.5  # napari's integers are the centers of pixels, those of prompts their top-left corners

Prompts = dict[int, dict[int, Prompt]]
"""Prompts by frame, then by object."""


def add_points(viewer: Any, image: Any) -> Any:
    """Add an empty points layer for clicks on an image layer to a viewer, and return it."""
    return viewer.add_points(
        ndim=image.ndim,
        name=f"clicks on {image.name}",
        features={OBJECT: np.zeros(0, int), ROLE: np.zeros(0, object)},
        feature_defaults={OBJECT: 1, ROLE: INCLUDE},
        face_color=ROLE,
        face_color_cycle=_COLORS,
        border_color="white",
        size=max(3, min(image.data.shape[-3:-1] if image.rgb else image.data.shape[-2:]) // 50),
        text={"string": "{object}", "color": "white", "translation": [0] * image.ndim},
        scale=image.scale,
        translate=image.translate,
    )


def add_shapes(viewer: Any, image: Any) -> Any:
    """Add an empty shapes layer for boxes and outlines on an image layer to a viewer, and return it."""
    return viewer.add_shapes(
        ndim=image.ndim,
        name=f"boxes on {image.name}",
        features={OBJECT: np.zeros(0, int)},
        feature_defaults={OBJECT: 1},
        face_color="transparent",
        edge_color="#ffcc00",
        edge_width=2,
        text={"string": "{object}", "color": "white", "anchor": "upper_left"},
        scale=image.scale,
        translate=image.translate,
    )


def set_defaults(layer: Any, object_id: int, role: str | None = None) -> None:
    """Set the object, and of points the role, that the next point or shape gets."""
    layer.feature_defaults = {OBJECT: [object_id], **({} if role is None else {ROLE: [role]})}


def read_prompts(image: Any, points: Any, shapes: Any) -> Prompts:
    """Read the prompts of a points and a shapes layer.

    Rectangles and ellipses are boxes, polygons are masks. Of two boxes, or two polygons, of an object on a frame the
    later one counts. Coordinates are converted from each layer's to the image layer's.

    Args:
        image: The image layer, (Y, X) or (T, Y, X).
        points: The points layer, or None.
        shapes: The shapes layer, or None.

    Raises:
        PromptError: `bad-prompt`. A shape is a line or a path, spans several frames or has no area, or an object id is
            not a positive integer.
    """
    parts: dict[tuple[int, int], dict[str, list[Prompt]]] = {}
    readers = ((points, _read_points), (shapes, _read_shapes))
    for frame, object_id, kind, prompt in (item for layer, read in readers if layer for item in read(image, layer)):
        own = parts.setdefault((frame, object_id), {})
        own[kind] = [*own.get(kind, ()), prompt] if kind == "click" else [prompt]
    prompts: Prompts = {}
    for (frame, object_id), own in parts.items():
        prompts.setdefault(frame, {})[object_id] = combine([part for group in own.values() for part in group])
    return prompts


def combine(parts: list[Prompt]) -> Prompt:
    """Combine prompts of one object on one frame."""
    combined = parts[0]
    for part in parts[1:]:
        combined += part
    return combined


def _read_points(image: Any, layer: Any) -> Iterator[tuple[int, int, str, Prompt]]:
    """Yield frame, object id, kind and prompt of each point."""
    for number, (position, role) in enumerate(zip(layer.data, _read_feature(layer, ROLE, INCLUDE), strict=True)):
        (location,) = _to_image(image, layer, position[None])
        y, x = location[-2:].tolist()
        prompt = click(x + _CORNER, y + _CORNER, positive=role != EXCLUDE)
        yield _find_frame(location[None]), _read_object_id(layer, number), "click", prompt


def _read_shapes(image: Any, layer: Any) -> Iterator[tuple[int, int, str, Prompt]]:
    """Yield frame, object id, kind and prompt of each shape."""
    size = image.data.shape[-3:-1] if image.rgb else image.data.shape[-2:]
    for number, (vertices, kind) in enumerate(zip(layer.data, layer.shape_type, strict=True)):
        located = _to_image(image, layer, np.asarray(vertices))
        xy = located[:, :-3:-1] + _CORNER
        object_id, frame = _read_object_id(layer, number), _find_frame(located)
        if kind in ("rectangle", "ellipse"):
            (x0, y0), (x1, y1) = np.clip([xy.min(0), xy.max(0)], 0, size[::-1]).tolist()
            yield frame, object_id, "box", box(x0, y0, x1, y1)
        elif kind == "polygon":
            yield frame, object_id, "mask", mask(_fill_polygon(xy, size))
        else:
            message = f"shape {number + 1} of layer {layer.name!r} is a {kind}; draw a rectangle or a polygon instead"
            raise PromptError("bad-prompt", message)


def _to_image(image: Any, layer: Any, positions: NDArray[Any]) -> NDArray[np.float64]:
    """Convert positions (P, D) in a layer to positions in the image layer."""
    if layer.ndim != image.ndim:
        message = f"layer {layer.name!r} has {layer.ndim} axes, layer {image.name!r} has {image.ndim}"
        raise PromptError("bad-prompt", f"{message}; add prompts with the button of the plugin")
    return np.array([image.world_to_data(layer.data_to_world(position)) for position in positions], np.float64)


def _find_frame(positions: NDArray[np.float64]) -> int:
    """Return the frame of positions (P, 2) or (P, 3), 0 for those without a time."""
    frames = {round(position[0]) for position in positions.tolist() if len(position) == 3}
    if len(frames) > 1:
        raise PromptError("bad-prompt", f"a shape must lie on one frame, got one from {min(frames)} to {max(frames)}")
    return frames.pop() if frames else 0


def _read_feature(layer: Any, name: str, default: Any) -> list[Any]:
    return layer.features[name].tolist() if name in layer.features else [default] * len(layer.data)


def _read_object_id(layer: Any, number: int) -> int:
    value = _read_feature(layer, OBJECT, 1)[number]
    try:
        if value == int(value) >= 1:
            return int(value)
    except (TypeError, ValueError):
        pass
    raise PromptError("bad-prompt", f"feature {OBJECT!r} of layer {layer.name!r} must be 1, 2, …, got {value!r:.40}")


def _fill_polygon(xy: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Draw a polygon (P, 2) in pixels as a mask (H, W)."""
    pixels = np.zeros(size, np.uint8)
    cv2.fillPoly(pixels, [np.rint(xy - _CORNER).astype(np.int32)], 1)
    return pixels.astype(bool)

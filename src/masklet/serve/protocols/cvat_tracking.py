"""Tracking for CVAT, which sends one frame at a time and a state for every shape.

A state names a video session of the server and an object in it. Nobody can guess the name, and the session ends after
a time without requests, within the limits of the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from masklet.errors import PromptError
from masklet.files.json_fields import Fields
from masklet.masks.cvat_shapes import POLYGON, RECTANGLE, encode_shape, make_shape_prompt
from masklet.masks.masks import Masks
from masklet.prompts import Prompt
from masklet.serve.image_store import ServedImage
from masklet.serve.service import Service
from masklet.serve.sessions import VideoSession

_RECTANGLE_NUMBERS = 4

Shape = list[float]
State = dict[str, Any]


class CvatTracker:
    """Function of CVAT that follows shapes.

    Args:
        service: The service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def track(
        self, image: ServedImage, shapes: Sequence[Any], states: Sequence[Any]
    ) -> tuple[list[Shape], list[State]]:
        """Start to follow shapes without a state, and follow those with one to the next frame.

        Args:
            image: The frame.
            shapes: Points of each shape: 4 numbers of a rectangle, or at least 6 of a polygon.
            states: The state of each shape from the last call; null for one that is new. It may be shorter than
                `shapes`, and with states for all of them `shapes` may be empty.

        Returns:
            The shapes on the frame and their states. A shape whose object is not found stays where it was last.

        Raises:
            StateError: `session-gone` if a state is too old, `overloaded` if too many are kept.
            PromptError: `bad-prompt`. A shape has no area in the image.
            VideoError: `resolution-changed`. The frame has another size than the earlier ones.
            FormatError: `annotation-broken`. A shape or a state is malformed.
        """
        count = max(len(shapes), len(states))
        known = {n: _read_state(n, state) for n, state in enumerate(states) if state is not None}
        new = {n: _read_shape(n, shapes, image.size) for n in range(count) if n not in known}
        found: dict[int, tuple[Shape, State]] = {}
        sessions = dict.fromkeys(session_id for session_id, _ in known.values())
        for session_id in sessions:
            objects = {n: object_id for n, (owner, object_id) in known.items() if owner == session_id}
            found |= await self._follow(self._service.sessions.get(session_id), image, objects)
        if new:
            found |= await self._begin(image, new)
        ordered = [found[n] for n in range(count)]
        return [shape for shape, _ in ordered], [state for _, state in ordered]

    async def _begin(self, image: ServedImage, new: dict[int, tuple[str, Shape, Prompt]]) -> dict[int, Any]:
        """Begin a session with an object for each shape, whose id is its number from 1."""
        session = await self._service.sessions.create()
        try:
            await session.prompt(0, {n + 1: prompt for n, (_, _, prompt) in new.items()}, image.pixels)
        except BaseException:
            self._service.sessions.delete(session.id)
            raise
        session.data.update(frame=0, shapes={n + 1: (kind, shape) for n, (kind, shape, _) in new.items()})
        return {n: (shape, _make_state(session, n + 1)) for n, (_, shape, _) in new.items()}

    async def _follow(self, session: VideoSession, image: ServedImage, objects: dict[int, int]) -> dict[int, Any]:
        """Follow the objects of a session to the next frame, by position of their shapes."""
        known: dict[int, tuple[str, Shape]] = session.data["shapes"]
        unknown = next((object_id for object_id in objects.values() if object_id not in known), None)
        if unknown is not None:
            raise PromptError("unknown-object", f"the state of a shape names the object {unknown}, which is unknown")
        session.data["frame"] += 1
        masks = await session.step(session.data["frame"], image.pixels)
        known |= await self._service.run_in_thread(_encode_shapes, masks, known)
        return {n: (known[object_id][1], _make_state(session, object_id)) for n, object_id in objects.items()}


def _encode_shapes(masks: Masks, known: dict[int, tuple[str, Shape]]) -> dict[int, tuple[str, Shape]]:
    """Return the shapes of the objects that are found."""
    rows = zip(masks.object_ids, masks.binary, masks.visible, strict=True)
    return {
        object_id: (known[object_id][0], encode_shape(known[object_id][0], mask))
        for object_id, mask, is_visible in rows
        if is_visible and mask.any()
    }


def _make_state(session: VideoSession, object_id: int) -> State:
    return {"session": session.id, "object": object_id}


def _read_state(number: int, state: Any) -> tuple[str, int]:
    fields = Fields(state, "the request", ("states", number))
    return fields.text("session"), fields.integer("object")


def _read_shape(number: int, shapes: Sequence[Any], size: tuple[int, int]) -> tuple[str, Shape, Prompt]:
    """Return the kind, the points and the prompt of a shape."""
    shape = Fields({"points": shapes[number] if number < len(shapes) else None}, "the request", ("shapes", number))
    points = shape.array("points")
    kind = RECTANGLE if len(points) == _RECTANGLE_NUMBERS else POLYGON
    return kind, points, make_shape_prompt(kind, points, size)

"""Limits of the server: sizes of requests, numbers of waiting requests and sessions, and budgets of memory."""

from __future__ import annotations

from dataclasses import dataclass, fields

from masklet.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server, all at least 1.

    Attributes:
        body_bytes: Largest body of a request with an image.
        upload_bytes: Largest body of a request with a video or its frames.
        pixels: Most pixels of an image or of a frame.
        objects: Most objects that one request prompts, and most objects of a session.
        frames: Most frames of a video that is uploaded as images.
        waiting: Most requests that wait for the model or are computed; further ones are refused as `overloaded`.
        batch: Most requests whose prompts are decoded together.
        sessions: Most video sessions, and most videos that are tracked at a time.
        session_idle_s: Seconds without a request after which a session ends.
        feature_bytes: Budget of embeddings.
        image_bytes: Budget of decoded images that clients may refer to by key.
        drain_s: Seconds in which requests may end when the server stops.
    """

    body_bytes: int = 64 << 20
    upload_bytes: int = 1 << 30
    pixels: int = 50_000_000
    objects: int = 256
    frames: int = 10_000
    waiting: int = 64
    batch: int = 16
    sessions: int = 16
    session_idle_s: float = 900.0
    feature_bytes: int = 1 << 30
    image_bytes: int = 512 << 20
    drain_s: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                message = f"the limit {field.name} must be above 0, got {getattr(self, field.name)}"
                raise SettingsError("bad-usage", message)

"""Tracks of rectangles: the `videorectangle` regions of Label Studio, continued by tracking."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from masklet.errors import PromptError
from masklet.files.json_fields import Fields
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import Prompt, box
from masklet.serve.protocols.label_studio.label_config import Tool
from masklet.serve.protocols.label_studio.prompts import read_box
from masklet.serve.protocols.label_studio.regions import make_id, measure_box
from masklet.serve.protocols.label_studio.task_media import TaskVideo
from masklet.serve.protocols.label_studio.video_time import find_frame_at, read_time
from masklet.serve.service import Service
from masklet.video import Video

MAX_TRACKED_FRAMES = 300
TIME_BUDGET_S = 80.0  # Label Studio waits for 100 s by default
_KIND = "videorectangle"
_MAX_KEY_FRAMES = 10_000
_DEFAULT_FPS = 24.0  # of Label Studio's player


@dataclass(slots=True)
class RectangleTrack:
    """A region of a video: rectangles on key frames.

    Attributes:
        item: The region as it was sent.
        fps: Frames per second of Label Studio's numbers of frames.
        prompts: Box by frame of the video, from 0.
        sequence: The key frames, those of tracking included.
        is_visible: Whether the last key frame shows the object.
    """

    item: dict[str, Any]
    fps: float
    prompts: dict[int, Prompt]
    sequence: list[dict[str, Any]]
    is_visible: bool = field(default=True)

    def add(self, frame: TrackedFrame, number: int, time_s: float) -> None:
        """Add the box of an object on a tracked frame. One that is not found is disabled from this frame on."""
        masks = frame.masks.of(number)
        found = measure_box(masks.binary[0]) if masks.visible[0] else None
        if found is None and not self.is_visible:
            return
        self.is_visible = found is not None
        shape = (
            {key: self.sequence[-1][key] for key in ("x", "y", "width", "height")} if found is None else found._asdict()
        )
        position = {"frame": round(time_s * self.fps) + 1, "time": time_s}
        self.sequence.append({**position, **shape, "rotation": 0, "enabled": self.is_visible})

    def to_item(self, tool: Tool) -> dict[str, Any]:
        """Return the region with all key frames, under its own id."""
        known = {"id": make_id(), "from_name": tool.name, "to_name": tool.to_name, "origin": "manual"}
        item = {**known, **{key: value for key, value in self.item.items() if value is not None}}
        return {**item, "type": _KIND, "value": {**item["value"], "sequence": self.sequence}}


def read_tracks(items: Sequence[Any], video: TaskVideo) -> list[RectangleTrack]:
    """Read the video rectangles of a request.

    Raises:
        PromptError: `no-prompts`. There are none, or none has a key frame.
        FormatError: `annotation-broken`. One lacks a field.
    """
    regions = [Fields(item, "context", ("result", number)) for number, item in enumerate(items)]
    tracks = [_read_track(region, video) for region in regions if region.text("type", "") == _KIND]
    tracks = [track for track in tracks if track.prompts]
    if not tracks:
        message = "the request has no video rectangle with a key frame; draw one with the tool VideoRectangle"
        raise PromptError("no-prompts", message)
    return tracks


async def extend_tracks(
    service: Service, video: TaskVideo, tracks: Sequence[RectangleTrack], max_frames: int = MAX_TRACKED_FRAMES
) -> None:
    """Track objects from their last key frame on, and add the rectangles of the frames after it.

    Every rectangle that was drawn is a prompt. Tracking ends after `max_frames` frames or `TIME_BUDGET_S` seconds.
    """
    prompts: dict[int, dict[int, Prompt]] = {}
    for number, track in enumerate(tracks, start=1):
        for frame, prompt in track.prompts.items():
            prompts.setdefault(frame, {})[number] = prompt
    last = {number: max(track.prompts) for number, track in enumerate(tracks, start=1)}
    first, stop = min(prompts), min(len(video.video), max(prompts) + 1 + max_frames)
    deadline = time.monotonic() + TIME_BUDGET_S
    async with aclosing(service.track(video.video, prompts, start=first, stop=stop)) as frames:
        async for tracked in frames:
            for number, track in enumerate(tracks, start=1):
                if tracked.index > last[number]:
                    time_s = read_time(video.video, tracked.index, video.fps)
                    await service.run_in_thread(track.add, tracked, number, time_s)
            if time.monotonic() > deadline:
                break


def _read_track(region: Fields, video: TaskVideo) -> RectangleTrack:
    value = region.object("value")
    keys = [*value.objects("sequence")]
    if len(keys) > _MAX_KEY_FRAMES:
        raise PromptError("bad-prompt", f"at most {_MAX_KEY_FRAMES} key frames per region, got {len(keys)}")
    count, duration = value.number("framesCount", 0.0), value.number("duration", 0.0)
    fps = count / duration if count > 0 and duration > 0 else _DEFAULT_FPS
    prompts = {
        _find_key_frame(video.video, key, fps): box(*read_box(key, video.video.size))
        for key in keys
        if key.get("enabled") is not False
    }
    return RectangleTrack(region.value, fps, prompts, [key.value for key in keys])


def _find_key_frame(video: Video, key: Fields, fps: float) -> int:
    return find_frame_at(video, (key.integer("frame") - 1) / fps)

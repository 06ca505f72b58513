"""Events of Label Studio's video tools: the verbs that a request names in `context.event`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple, cast

import numpy as np

from masklet.errors import MaskletError, PromptError, StateError
from masklet.files.json_fields import Fields
from masklet.serve.image_store import ServedImage
from masklet.serve.protocols.label_studio.label_config import IMAGE, VIDEO, LabelConfig, Media, Tool
from masklet.serve.protocols.label_studio.prompts import read_items
from masklet.serve.protocols.label_studio.regions import make_data_url, make_id
from masklet.serve.protocols.label_studio.task_media import TaskMedia, TaskVideo
from masklet.serve.protocols.label_studio.track_runs import MAX_FRAMES, TrackRuns, plan_spans
from masklet.serve.protocols.label_studio.video_time import find_frame
from masklet.serve.service import Service
from masklet.tracking.traversal import Direction

MAX_WINDOW = 20  # frames that one request prepares
_VIDEO_TOOLS = ("VideoRectangle", "VideoVectorLabels", "Labels")
_IMAGE_TOOLS = ("BitmaskLabels", "BrushLabels", "RectangleLabels", "PolygonLabels", "VectorLabels")
_TARGETS: tuple[tuple[str, str, bool], ...] = (
    ("BitmaskLabels", "mask", False),
    ("RectangleLabels", "bbox", False),
    ("PolygonLabels", "polygon", False),
    ("VectorLabels", "polygon", False),
    ("VideoRectangle", "bbox", True),
    ("VideoVectorLabels", "polygon", True),
)


class Target(NamedTuple):
    """The image or video of a request, and the tool that the result is of."""

    media: Media
    from_name: str


class EventRequest(NamedTuple):
    """A request: the task, what the client sent, and the target."""

    task: Fields
    context: Fields
    target: Target


class VideoEvents:
    """Handlers of the events. Each returns the type and the value of the result.

    Args:
        service: The service.
        media: Images and videos of tasks.
    """

    def __init__(self, service: Service, media: TaskMedia) -> None:
        self._service, self._media = service, media
        self._runs = TrackRuns(service)
        self._preparing: dict[str, asyncio.Task[None]] = {}  # by the id of the task
        self._handlers: dict[str, Callable[[EventRequest], Awaitable[tuple[str, Any]]]] = {
            "capabilities": self._list_capabilities,
            "prewarm": self._prewarm,
            "predict": self._predict,
            "track": self._track,
            "track_progress": self._report_progress,
            "track_cancel": self._cancel_track,
            "release": self._release,
        }

    async def handle(self, event: str, task: Fields, context: Fields, config: LabelConfig) -> dict[str, Any]:
        """Return the prediction of an event.

        Raises:
            MaskletError: `bad-request` for an unknown event; otherwise why it failed.
        """
        if event not in self._handlers:
            known = ", ".join(self._handlers)
            raise MaskletError("bad-request", f"unknown event {event[:60]!r}; the events are {known}")
        self._runs.drop_idle()
        target = _find_target(config)
        kind, value = await self._handlers[event](EventRequest(task, context, target))
        if value is None:
            return {"result": []}
        item = {"id": make_id(), "from_name": target.from_name, "to_name": target.media.name, "origin": "manual"}
        return {"result": [{**item, "type": kind, "value": value}]}

    async def _list_capabilities(self, request: EventRequest) -> tuple[str, Any]:
        info = self._service.model_info
        targets = [{"tag": tag, "output": output, **({"features": ["track"]} if tracks else {})}
                   for tag, output, tracks in _TARGETS]  # fmt: skip
        model = {"name": f"masklet {info.name}", "version": info.version}
        return "capabilities", {"prompts": ["point", "box"], "targets": targets, "model_info": model}

    async def _prewarm(self, request: EventRequest) -> tuple[str, Any]:
        if request.target.media.tag == IMAGE:
            image = await self._media.read_image(request.task, request.target.media)
            await self._service.embed(image)
            return "prewarm_ack", {"status": "ok", "cached": [0], "pending": [], "frame_count": 1}
        window = min(max(request.context.integer("window", MAX_WINDOW), 0), MAX_WINDOW)
        is_backward = request.context.text("direction", "forward") == "backward"
        async with self._media.open_video(request.task, request.target.media) as video:
            frame, count = find_frame(video.video, request.context), len(video.video)
            span = (
                range(max(0, frame - window), frame + 1)
                if is_backward
                else range(frame, min(count, frame + window + 1))
            )
            cached = [index for index in span if self._is_prepared(video, index)]
        pending = [index for index in (reversed(span) if is_backward else span) if index not in cached]
        if pending:
            self._prepare_later(request, pending)
        return "prewarm_ack", {"status": "ok", "cached": cached, "pending": sorted(pending), "frame_count": count}

    async def _predict(self, request: EventRequest) -> tuple[str, Any]:
        items = request.context.array("result") if "result" in request.context else []
        if not items:
            return "bitmask", None
        image = await self._read_target(request)
        drawn = read_items(items, image.size)
        masks = await self._service.predict(image, drawn.by_object)
        height, width = image.size
        url = await self._service.run_in_thread(lambda: make_data_url(np.asarray(masks.binary.any(axis=0))))
        return "bitmask", {"imageDataURL": url, "width": width, "height": height}

    async def _track(self, request: EventRequest) -> tuple[str, Any]:
        try:
            return await self._start_track(request)
        except StateError as error:
            if error.code != "overloaded":
                raise
            return self._refuse_track(error.message)
        except MaskletError as error:
            return "track_error", {"error": error.message, "done": True}

    async def _start_track(self, request: EventRequest) -> tuple[str, Any]:
        if request.target.media.tag != VIDEO:
            raise PromptError("bad-prompt", "only videos are tracked; the label configuration has no video")
        if self._runs.active_count >= self._runs.max_count:
            return self._refuse_track(f"{self._runs.active_count} videos are tracked; try again later")
        context = request.context
        async with self._media.open_video(request.task, request.target.media) as video:
            frame = find_frame(video.video, context)
            prompts = read_items(context.array("result"), video.video.size).by_object
            for prompt in prompts.values():
                prompt.check_fits(video.video.size)
            spans = plan_spans(frame, len(video.video), _read_direction(context), _read_max_frames(context, video.fps))
            opened = self._media.open_video(request.task, request.target.media)
            run = self._runs.start(opened, frame, prompts, spans)
            started = {"session_id": run.id, "total_frames": run.total, "fps": video.fps,
                       "duration_ms": video.duration_s * 1000}  # fmt: skip
            return "track_started", started

    def _refuse_track(self, message: str) -> tuple[str, Any]:
        busy = {"error": message, "active_or_queued": self._runs.active_count, "resident_sessions": len(self._runs),
                "max_sessions": self._runs.max_count}  # fmt: skip
        return "track_busy", busy

    async def _report_progress(self, request: EventRequest) -> tuple[str, Any]:
        run = self._runs.find(request.context.text("session_id", ""))
        if run is None:
            return "track_progress", {"frames": [], "error": "session not found", "done": True}
        frames = await run.poll()
        if run.is_done:
            self._runs.drop(run)
        progress = {"frames": frames, "produced": run.produced, "total": run.total, "done": run.is_done,
                    "error": run.error}  # fmt: skip
        return "track_progress", progress

    async def _cancel_track(self, request: EventRequest) -> tuple[str, Any]:
        run = self._runs.find(request.context.text("session_id", ""))
        if run is not None:
            self._runs.drop(run)
        return "track_cancel_ack", {"status": "cancelled" if run else "not_found"}

    async def _release(self, request: EventRequest) -> tuple[str, Any]:
        if request.target.media.tag == VIDEO:
            self._media.release(request.task, request.target.media)
        return "release_ack", {"status": "released"}

    async def _read_target(self, request: EventRequest) -> ServedImage:
        """Return the image of the task, or the frame of its video that the request is about."""
        if request.target.media.tag == IMAGE:
            return await self._media.read_image(request.task, request.target.media)
        async with self._media.open_video(request.task, request.target.media) as video:
            return await self._media.read_frame(video, find_frame(video.video, request.context))

    def _is_prepared(self, video: TaskVideo, index: int) -> bool:
        image, embeddings = self._media.find_frame(video, index), self._service.embeddings
        return image is not None and embeddings is not None and embeddings.is_ready(image)

    def _prepare_later(self, request: EventRequest, frames: list[int]) -> None:
        """Encode frames in the background. A newer request of a task takes the place of an older one."""
        key = str(request.task.get("id"))
        if key in self._preparing:
            self._preparing.pop(key).cancel()

        async def prepare() -> None:
            async with self._media.open_video(request.task, request.target.media) as video:
                for index in frames:
                    await self._service.embed(await self._media.read_frame(video, index))

        task = asyncio.get_running_loop().create_task(_ignore_errors(prepare()))
        self._preparing[key] = task
        task.add_done_callback(lambda ended: self._forget_preparation(key, ended))

    def _forget_preparation(self, key: str, task: asyncio.Task[None]) -> None:
        if self._preparing.get(key) is task:
            del self._preparing[key]


def _find_target(config: LabelConfig) -> Target:
    """Return the video of a label configuration, or its image, with the first tool that can hold a mask.

    Raises:
        PromptError: `bad-prompt`. It has neither.
    """
    for tag, tools in ((VIDEO, _VIDEO_TOOLS), (IMAGE, _IMAGE_TOOLS)):
        media = config.find_media(tag)
        if media is not None:
            found: list[Tool] = config.find_tools(media, *tools)
            return Target(media, found[0].name if found else "")
    raise PromptError("bad-prompt", "the label configuration has no Image and no Video")


def _read_direction(context: Fields) -> Direction:
    direction = context.text("direction", "forward")
    if direction not in ("forward", "backward", "both"):
        raise PromptError("bad-prompt", f"direction must be forward, backward or both, got {direction[:60]!r}")
    return cast("Direction", direction)


def _read_max_frames(context: Fields, fps: float) -> int:
    """Return the number of frames to track in each direction."""
    if context.get("max_duration_ms") is not None and fps:
        wanted = round(context.number("max_duration_ms") / 1000 * fps)
    else:
        wanted = context.integer("max_frames", MAX_FRAMES)
    return min(max(wanted, 1), MAX_FRAMES)


async def _ignore_errors(work: Awaitable[None]) -> None:
    """Wait for work that only saves time later; the request that needs its result reports the error."""
    with suppress(MaskletError):
        await work

"""Backend of Label Studio: projects, predictions of images and of video rectangles, and their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, MaskletError, SettingsError
from masklet.files.json_fields import Fields, parse_json
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.predict.generated_masks import GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.serve.protocols.label_studio.access import LabelStudioAccess
from masklet.serve.protocols.label_studio.events import VideoEvents
from masklet.serve.protocols.label_studio.label_config import IMAGE, VIDEO, LabelConfig, Media, Tool, parse_label_config
from masklet.serve.protocols.label_studio.prompts import read_items
from masklet.serve.protocols.label_studio.rectangle_tracks import extend_tracks, read_tracks
from masklet.serve.protocols.label_studio.regions import choose_label, make_regions
from masklet.serve.protocols.label_studio.task_media import TaskMedia
from masklet.serve.service import Service

MAX_TASKS = 1000
_MAX_PROJECTS = 1000
_KINDS = {"int": int, "int | None": int, "float": (int, float), "float | None": (int, float), "bool": bool}


class Backend:
    """Predictions for the tasks of projects.

    Args:
        service: The service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._access = LabelStudioAccess(service)
        self._media = TaskMedia(service, self._access)
        self._events = VideoEvents(service, self._media)
        self._options: dict[str, MaskGeneratorOptions] = {}

    @property
    def model_version(self) -> str:
        """Name of the model, and the beginning of the hash of its weights."""
        info = self._service.model_info
        return f"masklet-{info.name}-{info.identity[:8]}"

    def set_up(self, request: Fields) -> dict[str, Any]:
        """Note the address of Label Studio and the options of a project, and check its label configuration.

        Raises:
            FormatError: `annotation-broken`. The label configuration is broken or has no image and no video.
            SettingsError: `bad-usage`. An option is unknown or invalid.
        """
        self._access.announce(request.text("hostname", ""), request.text("access_token", ""))
        if request.text("schema", ""):
            config = parse_label_config(request.text("schema"))
            if not config.media:
                raise FormatError("annotation-broken", "the label configuration has no Image and no Video")
        options = _read_options(request.get("extra_params"))
        self._options[request.text("project", "")] = options
        while len(self._options) > _MAX_PROJECTS:
            self._options.pop(next(iter(self._options)))
        return {"model_version": self.model_version}

    async def predict(self, request: Fields) -> dict[str, Any]:
        """Return one prediction per task. A task that fails has an `error` in its place, unless all of them fail.

        Raises:
            MaskletError: The request is malformed, or the prediction of every task failed.
        """
        config = parse_label_config(request.text("label_config"))
        params = request.object("params") if request.get("params") is not None else Fields({}, "params")
        tasks = [*request.objects("tasks")]
        if not 0 < len(tasks) <= MAX_TASKS:
            raise MaskletError("bad-request", f"a request has 1 to {MAX_TASKS} tasks, got {len(tasks)}")
        if params.get("context"):
            return {"results": [await self._respond(tasks[0], params.object("context"), config)]}
        options = self._options.get(request.text("project", ""), MaskGeneratorOptions())
        results: list[dict[str, Any]] = []
        failure: MaskletError | None = None
        for task in tasks:
            try:
                results.append(await self._annotate(task, config, options))
            except MaskletError as error:
                failure = error
                results.append({"error": error.message})
        if failure is not None and all("error" in result for result in results):
            raise failure
        return {"results": results}

    async def _respond(self, task: Fields, context: Fields, config: LabelConfig) -> dict[str, Any]:
        """Return the prediction for what a person drew, or for an event."""
        event = context.text("event", "")
        if event:
            return await self._events.handle(event, task, context, config)
        items = context.array("result") if "result" in context else []
        if not items:
            return self._make_prediction([], 0.0)
        if any(isinstance(item, dict) and item.get("type") == "videorectangle" for item in items):
            return await self._extend_rectangles(task, items, config)
        if config.find_media(IMAGE) is None:
            return await self._events.handle("predict", task, context, config)
        return await self._segment(task, items, config)

    async def _segment(self, task: Fields, items: list[Any], config: LabelConfig) -> dict[str, Any]:
        names = [item["to_name"] for item in items if isinstance(item, dict) and isinstance(item.get("to_name"), str)]
        media = _find_media(config, IMAGE, names[0] if names else None)
        image = await self._media.read_image(task, media)
        drawn, tool = read_items(items, image.size), config.find_output(media)
        label = choose_label(tool, drawn.label)
        masks = await self._service.predict(image, drawn.by_object)
        regions = await self._service.run_in_thread(_make_all_regions, tool, masks, label)
        return self._make_prediction(regions, float(masks.scores.mean()))

    async def _annotate(self, task: Fields, config: LabelConfig, options: MaskGeneratorOptions) -> dict[str, Any]:
        """Return the automatic masks of a task's image."""
        media = _find_media(config, IMAGE)
        tool = config.find_output(media)
        image = await self._media.read_image(task, media)
        generated = await self._service.generate(image, options)
        label = tool.labels[0] if tool.labels else None
        regions = await self._service.run_in_thread(_make_generated_regions, tool, generated, label)
        scores = [mask.score for mask in generated]
        return self._make_prediction(regions, float(np.mean(scores)) if scores else 0.0)

    async def _extend_rectangles(self, task: Fields, items: list[Any], config: LabelConfig) -> dict[str, Any]:
        media = _find_media(config, VIDEO)
        tools = config.find_tools(media, "VideoRectangle")
        if not tools:
            raise FormatError("annotation-broken", "the label configuration has no VideoRectangle for the video")
        async with self._media.open_video(task, media) as video:
            tracks = read_tracks(items, video)
            await extend_tracks(self._service, video, tracks)
        return self._make_prediction([track.to_item(tools[0]) for track in tracks], 1.0)

    def _make_prediction(self, regions: list[dict[str, Any]], score: float) -> dict[str, Any]:
        return {"result": regions, "score": score, "model_version": self.model_version}


def _read_options(extra: Any) -> MaskGeneratorOptions:
    """Read the "extra params" of a project: options of the mask generator, as a JSON object or its text.

    Raises:
        SettingsError: `bad-usage`. An option is unknown, of another type or outside its range.
        FormatError: `annotation-broken`. The text is not JSON.
    """
    if isinstance(extra, str):
        extra = parse_json(extra.encode(), "extra_params") if extra.strip() else {}
    if extra is None:
        return MaskGeneratorOptions()
    if not isinstance(extra, Mapping):
        raise SettingsError("bad-usage", f"extra_params must be a JSON object, got {type(extra).__name__}")
    known = {field.name: _KINDS[str(field.type)] for field in fields(MaskGeneratorOptions) if str(field.type) in _KINDS}
    for name, value in extra.items():
        if name not in known:
            message = f"unknown option {str(name)[:60]!r} in extra_params; the options are {', '.join(known)}"
            raise SettingsError("bad-usage", message)
        if not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is not bool):  # type: ignore[arg-type]
            raise SettingsError("bad-usage", f"{name} in extra_params has another type: {str(value)[:60]!r}")
    return MaskGeneratorOptions(**extra)


def _find_media(config: LabelConfig, tag: str, name: str | None = None) -> Media:
    media = config.find_media(tag, name)
    if media is None:
        which = tag if name is None else f"{tag} {name[:60]!r}"
        raise FormatError("annotation-broken", f"the label configuration has no {which}")
    return media


def _make_all_regions(tool: Tool, masks: Masks, label: str | None) -> list[dict[str, Any]]:
    rows: list[tuple[NDArray[np.bool_], float]] = [*zip(masks.binary, masks.scores.tolist(), strict=True)]
    return [region for mask, score in rows for region in make_regions(tool, mask, label, score)]


def _make_generated_regions(tool: Tool, generated: GeneratedMasks, label: str | None) -> list[dict[str, Any]]:
    return [region for one in generated for region in make_regions(tool, rle.decode(one.rle), label, one.score)]

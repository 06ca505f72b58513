"""Protocol of samapi, the server of QuPath's extension for SAM: prompts, automatic masks and stacks of images."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import numpy as np
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from masklet.errors import PromptError, SettingsError
from masklet.files.json_fields import Fields
from masklet.http.problems import Problem
from masklet.images import read_image
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.prompts import Prompt, box, clicks, mask
from masklet.serve.body import read_form, read_json
from masklet.serve.image_store import decode_base64
from masklet.serve.protocols.frame_uploads import FrameUploads
from masklet.serve.protocols.geojson import make_geometry
from masklet.serve.service import Service
from masklet.video import Video

PREFIX = "/sam"
VERSION = "0.7.1"  # of samapi, whose requests are understood
_SAM2_TYPES = ("sam2_t", "sam2_s", "sam2_bp", "sam2_l")
_TYPES = ("vit_h", "vit_l", "vit_b", "vit_t", *_SAM2_TYPES, "sam3")
_MAX_POINTS_PER_SIDE, _MAX_CROP_LAYERS, _MAX_BATCH = 128, 2, 1024
_COUNTS = {"points_per_side": _MAX_POINTS_PER_SIDE, "points_per_batch": _MAX_BATCH, "crop_n_layers": _MAX_CROP_LAYERS,
           "crop_n_points_downscale_factor": _MAX_POINTS_PER_SIDE, "min_mask_region_area": 2**31}  # fmt: skip
_NUMBERS = ("pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "box_nms_thresh", "crop_nms_thresh",
            "crop_overlap_ratio")  # fmt: skip

Feature = dict[str, Any]


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the protocol."""
    resources = _Resources(service)
    return [
        Route("/", resources.predict, methods=["POST"]),
        Route("/automask/", resources.generate, methods=["POST"]),
        Route("/upload/", resources.upload, methods=["POST"]),
        Route("/video/", resources.track, methods=["POST"]),
        Route("/version/", resources.version),
        Route("/weights/", resources.weights, methods=["GET", "POST"]),
        Route("/weights/cancel/", resources.cancel),
        Route("/progress/", resources.progress),
    ]


def make_error_response(problem: Problem) -> Response:
    """Return an error as samapi does: `{"detail": …}`."""
    return JSONResponse({"detail": problem.detail or problem.code}, problem.status, problem.headers)


class _Resources:
    def __init__(self, service: Service) -> None:
        self._service = service
        limits = service.limits
        self._uploads = FrameUploads(limits.upload_bytes, limits.frames, limits.session_idle_s)

    async def predict(self, request: Request) -> Response:
        """Segment the object of a box or of points, as one feature, or as three with `multimask_output`."""
        body = await self._read(request)
        prompt = _read_prompt(body)
        if body.get("b64mask"):
            limit = self._service.limits.pixels
            prompt = prompt + await self._service.run_in_thread(_read_mask, body.text("b64mask"), limit)
        image = await self._service.read_image(body.text("b64img"))
        multimask = True if body.get("multimask_output") else None
        masks = await self._service.predict(image, prompt, multimask=multimask)
        return JSONResponse(await self._service.run_in_thread(self._make_features, masks))

    async def generate(self, request: Request) -> Response:
        """Segment everything in an image."""
        body = await self._read(request)
        options = _read_generator_options(body)
        image = await self._service.read_image(body.text("b64img"))
        found = await self._service.generate(image, options)
        return JSONResponse(await self._service.run_in_thread(lambda: self._make_features(found.to_masks())))

    async def upload(self, request: Request) -> Response:
        """Keep a frame until its folder is tracked."""
        form = await read_form(request, self._service.limits.upload_bytes)
        folder, file = form.get("dirname"), form.get("file")
        if not isinstance(folder, str) or not isinstance(file, UploadFile) or not file.filename:
            raise PromptError("bad-prompt", "the form must have the fields dirname and file, with the name of the file")
        self._uploads.add(folder, file.filename, await file.read())
        return JSONResponse({"filename": file.filename})

    async def track(self, request: Request) -> Response:
        """Track objects through the frames of a time series or the planes of a stack."""
        body = await self._read(request, self._service.limits.upload_bytes)
        schedule, axes = _read_schedule(body), body.text("axes", "XYT")
        if axes not in ("XYT", "XYZ"):
            raise PromptError("bad-prompt", f"axes must be XYT or XYZ, got {axes[:20]!r}")
        start = body.integer("start_frame_idx", min(schedule))
        count, plane = body.integer("max_frame_num_to_track", 2**31), body.integer("plane_position", 0)
        video = await self._open_frames(body)
        try:
            features: list[Feature] = []
            async with aclosing(self._track(video, schedule, start, min(start + count + 1, len(video)))) as frames:
                async for frame in frames:
                    features += await self._service.run_in_thread(self._make_track_features, frame, axes, plane)
        finally:
            video.close()
        return JSONResponse(features)

    async def version(self, request: Request) -> Response:
        """Return the version of samapi."""
        return PlainTextResponse(VERSION)

    async def weights(self, request: Request) -> Response:
        """List the weights, which are the same for all types of SAM 2. Clients may not add any."""
        if request.method == "POST":
            raise SettingsError("unknown-model", "this server has one model, which its operator chose; use its weights")
        kind = request.query_params.get("type")
        kinds = [one for one in _SAM2_TYPES if kind in (None, one)]
        return JSONResponse([{"type": one, "name": self._model, "url": self._url} for one in kinds])

    async def cancel(self, request: Request) -> Response:
        """Say that nothing is downloaded."""
        return PlainTextResponse("No download is running")

    async def progress(self, request: Request) -> Response:
        """Say that nothing is downloaded."""
        return JSONResponse({"message": None, "percent": -1})

    @property
    def _model(self) -> str:
        return self._service.model_info.name

    @property
    def _url(self) -> str:
        return f"masklet:{self._model}"

    async def _read(self, request: Request, limit: int | None = None) -> Fields:
        body = Fields(await read_json(request, limit), "the request")
        kind, url = body.text("type", _TYPES[0]), body.text("checkpoint_url", "")
        if kind not in _TYPES:
            raise PromptError("bad-prompt", f"type must be one of {', '.join(_TYPES)}, got {kind[:20]!r}")
        if url not in ("", self._url):
            message = f"this server has the model {self._model} only; select the weights {self._model!r} in QuPath"
            raise SettingsError("unknown-model", message)
        return body

    async def _open_frames(self, body: Fields) -> Video:
        if body.get("dirname") is not None:
            return await self._service.open_frames(self._uploads.take(body.text("dirname")))
        if body.get("b64imgs") is None:
            raise PromptError("bad-prompt", "the request needs dirname or b64imgs")
        names = [str(number) for number in range(len(body.array("b64imgs")))]
        frames = Fields(dict(zip(names, body.array("b64imgs"), strict=True)), "the request", ("b64imgs",))
        return await self._service.open_frames([frames.text(name) for name in names])

    async def _track(
        self, video: Video, schedule: dict[int, dict[int, Prompt]], start: int, stop: int
    ) -> AsyncGenerator[TrackedFrame, None]:
        """Track from the first prompt on, and yield the frames of a range."""
        if max(schedule) >= len(video):
            message = f"there are {len(video)} frames, the prompts name frame {max(schedule)}"
            raise PromptError("unknown-frame", message)
        frames = self._service.track(video, schedule, start=min(schedule), stop=max(stop, max(schedule) + 1))
        async with aclosing(frames):
            async for frame in frames:
                if start <= frame.index < stop:
                    yield frame

    def _make_features(self, masks: Masks) -> list[Feature]:
        """Return the masks that are not empty, numbered from 0."""
        features: list[Feature] = []
        for number, (binary, score) in enumerate(zip(masks.binary, masks.scores.tolist(), strict=True)):
            geometry = make_geometry(binary)
            if geometry is not None:
                features.append(self._make_feature(geometry, number, quality=score))
        return features

    def _make_track_features(self, frame: TrackedFrame, axes: str, plane: int) -> list[Feature]:
        z, t = (frame.index, plane) if axes == "XYZ" else (plane, frame.index)
        features: list[Feature] = []
        for object_id, binary in zip(frame.masks.object_ids, frame.masks.binary, strict=True):
            geometry = make_geometry(binary)
            if geometry is not None:
                geometry["plane"] = {"c": -1, "z": z, "t": t}
                features.append(self._make_feature(geometry, object_id))
        return features

    def _make_feature(self, geometry: dict[str, Any], number: int, **more: float) -> Feature:
        properties = {"object_idx": number, "label": "object", **more, "sam_model": self._model}
        return {"type": "Feature", "geometry": geometry, "properties": properties}


def _read_generator_options(body: Fields) -> MaskGeneratorOptions:
    """Return the options of automatic masks that a request has; the model's defaults for the others.

    `include_image_edge` is ignored, as samapi ignores it for SAM 2.

    Raises:
        SettingsError: An option is outside its range.
    """
    options: dict[str, Any] = {name: body.number(name) for name in _NUMBERS if body.get(name) is not None}
    for name, limit in _COUNTS.items():
        if body.get(name) is not None:
            options[name] = body.integer(name)
            if options[name] > limit:
                raise SettingsError("bad-usage", f"{name} must be at most {limit}, got {options[name]}")
    return MaskGeneratorOptions(**options, multimask_output="Multi" in body.text("output_type", "Single Mask"))


def _read_prompt(body: Fields) -> Prompt:
    """Return the box and the points of a request or of an object."""
    parts = []
    if body.get("bbox"):
        corners = body.array("bbox")
        if len(corners) != 4:
            raise PromptError("bad-prompt", f"bbox must be [x1, y1, x2, y2], got {len(corners)} numbers")
        parts.append(box(*corners))
    if body.get("point_coords"):
        labels = body.array("point_labels") if body.get("point_labels") else None
        parts.append(clicks(body.arrays("point_coords"), labels))
    if not parts:
        raise PromptError("bad-prompt", "no prompt given; send bbox or point_coords")
    return parts[0] + parts[1] if len(parts) > 1 else parts[0]


def _read_mask(text: str, max_pixels: int) -> Prompt:
    """Return the prompt of a mask that is sent as an image: the object is where a pixel is not black."""
    return mask(np.any(read_image(decode_base64(text), max_pixels=max_pixels), axis=2))


def _read_schedule(body: Fields) -> dict[int, dict[int, Prompt]]:
    """Return the prompts by frame and object.

    Raises:
        PromptError: `no-prompts`. There are none.
    """
    frames = body.object("objs") if body.get("objs") else Fields({}, "the request", ("objs",))
    schedule: dict[int, dict[int, Prompt]] = {}
    for name in frames.names:
        if not name.isdecimal() or len(name) > 9:
            raise PromptError("unknown-frame", f"objs must have numbers of frames as keys, got {name[:20]!r}")
        prompts = {item.integer("obj_id"): _read_prompt(item) for item in frames.objects(name)}
        if prompts:
            schedule[int(name)] = prompts
    if not schedule:
        raise PromptError("no-prompts", "objs has no prompts; send {frame: [{obj_id, point_coords, point_labels}]}")
    return schedule

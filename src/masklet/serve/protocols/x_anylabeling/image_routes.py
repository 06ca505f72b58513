"""Models of the server of X-AnyLabeling, and predictions on images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from masklet.errors import SettingsError
from masklet.files.json_fields import Fields
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.serve.body import read_json
from masklet.serve.protocols.x_anylabeling.marks import read_marks
from masklet.serve.protocols.x_anylabeling.shapes import make_shapes, read_epsilon, read_params, refuse_text, succeed
from masklet.serve.protocols.x_anylabeling.video_routes import VIDEO_MODEL
from masklet.serve.service import Service

IMAGE_MODEL, EVERYTHING_MODEL = "masklet", "masklet-everything"
_CLICK_WIDGETS = ("button_add_point", "button_remove_point", "button_add_rect", "button_clear", "button_finish_object")
_FINENESS_WIDGETS = {"mask_fineness_slider": 10, "mask_fineness_value_label": None}
_BOX_NMS_THRESHOLD = 0.7


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes."""
    resources = _Resources(service)
    return [
        Route("/health", resources.health),
        Route("/v1/models", resources.models),
        Route("/v1/models/{model}/info", resources.info),
        Route("/v1/predict", resources.predict, methods=["POST"]),
    ]


class _Resources:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, request: Request) -> Response:
        """Say that the server runs."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return JSONResponse({"status": "healthy", "models_loaded": len(self._models()), "timestamp": now})

    async def models(self, request: Request) -> Response:
        """List the models with the widgets that X-AnyLabeling shows for them."""
        return succeed(self._models())

    async def info(self, request: Request) -> Response:
        """Return one model."""
        name = request.path_params["model"]
        return succeed({"model_id": name, **self._find_model(name)})

    async def predict(self, request: Request) -> Response:
        """Segment what the marks show, or everything."""
        body = Fields(await read_json(request), "the request")
        model, params = body.text("model"), read_params(body)
        self._find_model(model)
        refuse_text(params)
        if model == EVERYTHING_MODEL:
            shapes = await self._segment_everything(body.text("image"), params)
            return succeed({"shapes": shapes, "description": ""})
        marks = [] if params.get("marks") is None else params.array("marks")
        if model != IMAGE_MODEL or not marks:
            return succeed({"shapes": [], "description": ""})
        prompts, epsilon = read_marks(marks), read_epsilon(params)
        masks = await self._service.predict(await self._service.read_image(body.text("image")), prompts)
        shapes = await self._service.run_in_thread(make_shapes, masks, epsilon)
        return succeed({"shapes": shapes, "description": "", "replace": False})

    async def _segment_everything(self, image: str, params: Fields) -> list[dict[str, Any]]:
        found = await self._service.generate(await self._service.read_image(image), _read_thresholds(params))
        return await self._service.run_in_thread(lambda: make_shapes(found.to_masks(), read_epsilon(params)))

    def _models(self) -> dict[str, dict[str, Any]]:
        name = self._service.model_info.name
        params = {"model": name, "device": self._service.model_info.device}
        keep = {"toggle_preserve_existing_annotations": True}
        thresholds = {"input_conf": None, "edit_conf": 0.0, "input_iou": None, "edit_iou": _BOX_NMS_THRESHOLD}
        return {
            IMAGE_MODEL: _describe(f"masklet {name}", [*_CLICK_WIDGETS], _FINENESS_WIDGETS, params, None),
            EVERYTHING_MODEL: _describe(
                f"masklet {name} (everything)", ["button_run"], {**thresholds, **_FINENESS_WIDGETS, **keep}, params,
                "default",
            ),
            VIDEO_MODEL: _describe(
                f"masklet {name} (video)", ["button_run", *_CLICK_WIDGETS], _FINENESS_WIDGETS, params, "video"
            ),
        }  # fmt: skip

    def _find_model(self, name: str) -> dict[str, Any]:
        models = self._models()
        if name not in models:
            raise SettingsError("unknown-model", f"model {name[:100]!r} is not loaded; models are {', '.join(models)}")
        return models[name]


def _describe(
    title: str, buttons: Sequence[str], widgets: Mapping[str, Any], params: dict[str, Any], batch_mode: str | None
) -> dict[str, Any]:
    shown = {**dict.fromkeys(buttons), **widgets}
    return {"display_name": title, "widgets": [{"name": name, "value": value} for name, value in shown.items()],
            "params": params, "batch_processing_mode": batch_mode}  # fmt: skip


def _read_thresholds(params: Fields) -> MaskGeneratorOptions:
    """Return the options of a request. A confidence of 0 means the model's own threshold."""
    confidence = params.number("conf_threshold", 0.0)
    return MaskGeneratorOptions(
        pred_iou_thresh=confidence or None, box_nms_thresh=params.number("iou_threshold", 0.0) or _BOX_NMS_THRESHOLD
    )

"""Protocol of MONAI Label, which 3D Slicer's module uses: a volume, points on its slices, and a mask of the volume.

A volume is a NIfTI file, in a session or in the request. Its slices along the third axis are the frames of a video, so
that pixel (x, y) of frame z is the voxel [x, y, z]. Needs nibabel, the extra `stacks`.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from masklet.errors import FormatError, PromptError
from masklet.files.json_fields import Fields
from masklet.http.json_text import load_json
from masklet.http.problems import Problem
from masklet.serve.body import read_form
from masklet.serve.protocols.volumes import OBJECT, read_volume_prompts, segment_volume, unpack_nifti
from masklet.serve.service import Service
from masklet.serve.sessions import VideoSession

PREFIX = "/monai-label"
_DIMENSIONS = {"sam_2d": 2, "sam_3d": 3}  # the names of MONAI Label's own models of SAM 2
_RESULT_NAME = "masklet.nii.gz"
_RESULT_TYPE = "application/gzip"


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the protocol."""
    resources = _Resources(service)
    return [
        Route("/info/", resources.info),
        Route("/info", resources.info),
        Route("/infer/{model}", resources.infer, methods=["POST"]),
        Route("/session/", resources.create_session, methods=["PUT"]),
        Route("/session/{session}", resources.session, methods=["GET", "DELETE"]),
    ]


def make_error_response(problem: Problem) -> Response:
    """Return an error as MONAI Label does: `{"detail": …}`."""
    return JSONResponse({"detail": problem.detail or problem.code}, problem.status, problem.headers)


class _Resources:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder = tempfile.TemporaryDirectory(prefix="masklet-monai-")

    async def info(self, request: Request) -> Response:
        """Describe the models. There are no trainers and no datastore."""
        info = self._service.model_info
        models = {
            name: {"type": "deepgrow", "labels": [], "dimension": dimension, "config": {},
                   "description": f"masklet {info.name}: " + ("one slice" if dimension == 2 else "the whole volume")}
            for name, dimension in _DIMENSIONS.items()
        }  # fmt: skip
        return JSONResponse(
            {"name": f"masklet {info.name}", "description": "Segment volumes with points and boxes on slices",
             "version": info.version, "labels": [], "channels": 1, "models": models, "trainers": {}, "strategies": {},
             "scoring": {}, "train_stats": {}, "datastore": {}, "config": {}}
        )  # fmt: skip

    async def create_session(self, request: Request) -> Response:
        """Keep a volume for later requests."""
        form = await read_form(request, self._service.limits.upload_bytes)
        files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
        if len(files) != 1:
            raise PromptError("bad-prompt", f"a session needs one NIfTI file in the field files, got {len(files)}")
        session = await self._open(files[0])
        return JSONResponse({"session_id": session.id, "session_info": _describe(session)})

    async def session(self, request: Request) -> Response:
        """Describe or end a session."""
        session = self._find_session(request.path_params["session"])
        if request.method == "DELETE":
            self._service.sessions.delete(session.id)
        return JSONResponse(_describe(session))

    async def infer(self, request: Request) -> Response:
        """Segment one slice or the volume, and return the mask as NIfTI with the volume's place in space."""
        name, output = request.path_params["model"], request.query_params.get("output", "all")
        if name not in _DIMENSIONS:
            raise HTTPException(404, f"model {name[:60]!r} is unknown; models are {', '.join(_DIMENSIONS)}")
        if output not in ("all", "image", "json"):
            raise PromptError("bad-prompt", f"output must be all, image or json, got {output[:20]!r}")
        form = await read_form(request, self._service.limits.upload_bytes)
        params, began = _read_params(form), time.monotonic()
        file, session_id = form.get("file"), request.query_params.get("session_id", "")
        is_temporary = not session_id
        if is_temporary and not (isinstance(file, UploadFile) and file.filename):
            image = request.query_params.get("image", "")
            message = f"the server has no datastore with image {image[:60]!r}; send the field file, or a session_id"
            raise HTTPException(404, message)
        session = (
            await self._open(file) if isinstance(file, UploadFile) and is_temporary else self._find_session(session_id)
        )
        try:
            prompts = read_volume_prompts(params, session.data["shape"], _DIMENSIONS[name])
            result = await segment_volume(self._service, session, prompts)
        finally:
            if is_temporary:
                self._service.sessions.delete(session.id)
        label = params.get("label") if isinstance(params.get("label"), str) else "object"
        record = {"label_names": {label: OBJECT}, "latencies": {"total": round(time.monotonic() - began, 2)}}
        return _respond(output, record, result)

    async def _open(self, file: UploadFile) -> VideoSession:
        """Write a file to a folder, and open its slices in a session, which removes the file when it ends."""
        path = Path(self._folder.name) / f"{secrets.token_hex(8)}.nii"
        await self._service.run_in_thread(unpack_nifti, file.file, path, self._service.limits.upload_bytes)
        try:
            video = await self._service.open_upload(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        height, width = video.size
        shape = (width, height, len(video))
        session = await self._service.sessions.create(video, on_release=lambda: path.unlink(missing_ok=True))
        session.data.update(protocol=PREFIX, name=str(file.filename)[:200], shape=shape)
        return session

    def _find_session(self, session_id: str) -> VideoSession:
        session = self._service.sessions.get(session_id)
        if session.data.get("protocol") != PREFIX:
            raise HTTPException(404, f"session {session_id[:60]!r} not found")
        return session


def _describe(session: VideoSession) -> dict[str, Any]:
    return {"name": session.id, "image": session.data["name"], "shape": session.data["shape"]}


def _read_params(form: FormData) -> Fields:
    """Return the parameters of a request.

    Raises:
        FormatError: `annotation-broken`. They are not a JSON object.
    """
    text = form.get("params") or "{}"
    try:
        return Fields(load_json(text if isinstance(text, str) else ""), "params")
    except ValueError as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError("annotation-broken", f"params must be JSON, got {str(text)[:40]!r}") from None


def _respond(output: str, record: dict[str, Any], result: bytes) -> Response:
    if output == "json":
        return JSONResponse(record)
    if output == "image":
        headers = {"Content-Disposition": f'attachment; filename="{_RESULT_NAME}"'}
        return Response(result, headers=headers, media_type=_RESULT_TYPE)
    boundary = secrets.token_hex(16)
    parts = [
        ('name="params"', "application/json", json.dumps(record).encode()),
        (f'name="image"; filename="{_RESULT_NAME}"', _RESULT_TYPE, result),
    ]
    content = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {name}\r\nContent-Type: {kind}\r\n\r\n".encode()
        + part
        + b"\r\n"
        for name, kind, part in parts
    )
    return Response(content + f"--{boundary}--\r\n".encode(), media_type=f"multipart/form-data; boundary={boundary}")

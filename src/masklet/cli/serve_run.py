"""Server run: loads the model, serves until Ctrl-C, and finishes the requests that run."""

from __future__ import annotations

import json
import sys
import time
import warnings
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from masklet.cli import console
from masklet.cli.options import ModelOptions
from masklet.cli.serve_options import AccessOptions, LimitOptions
from masklet.cli.server_options import check_model, ignore_signals, list_hosts, read_token, select_runtime
from masklet.errors import BackendError, MaskletWarning
from masklet.files.error_translation import translate_errors
from masklet.http.security import TokenAccess, is_loopback
from masklet.segmenter import Segmenter

if TYPE_CHECKING:
    from masklet.serve.limits import Limits
    from masklet.serve.server import ApiServer

_EXTRA = ("fastapi", "prometheus_client", "multipart", "python_multipart", "pydantic")
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """A run of the server.

    Attributes:
        model: The model.
        access: Who may use it.
        protocols: Names of protocols; `all` for every one.
        limits: Limits of requests and memory.
        json: Print the address as JSON.
    """

    model: ModelOptions
    access: AccessOptions
    protocols: list[str]
    limits: LimitOptions
    json: bool


def run(request: ServeRequest) -> int:
    """Serve until Ctrl-C, and return the exit status.

    Raises:
        MaskletError: The model, the token, a folder, a protocol or the port is not usable.
    """
    token = read_token(request.access.token_file, request.access.host)
    check_model(request.model.model)
    warnings.simplefilter("ignore", MaskletWarning)  # responses contain those about masks
    with ExitStack() as stack:
        try:
            server = _start(request, token)
            stack.callback(server.close)
            stack.callback(ignore_signals)  # while requests are finished
            stack.callback(console.say, "finishing requests")
            server.wait_until_ready()
            _show(server, request, token)
            while True:
                time.sleep(60.0)
        except KeyboardInterrupt:
            pass
    return 0


def _start(request: ServeRequest, token: str | None) -> ApiServer:
    with translate_errors(ModuleNotFoundError, into=_name_extra):
        from masklet.serve.app import OPEN_PATHS
        from masklet.serve.protocols import PROTOCOLS
        from masklet.serve.server import ApiServer
        from masklet.serve.sources import Sources

    access, model = request.access, request.model

    def load() -> Segmenter:
        return model.load(runtime=select_runtime(model))

    return ApiServer(
        load,
        TokenAccess(list_hosts(access.host, access.allow_host or []), token, OPEN_PATHS),
        host=access.host,
        port=access.port,
        limits=_make_limits(request.limits),
        sources=Sources(access.root, tuple(access.allow_url or ())),
        protocols=PROTOCOLS if "all" in request.protocols else tuple(dict.fromkeys(request.protocols)),
    )


def _make_limits(options: LimitOptions) -> Limits:
    from masklet.serve.limits import Limits

    return Limits(
        body_bytes=options.max_body * _MB,
        upload_bytes=options.max_upload * _MB,
        pixels=int(options.max_pixels * _MB),
        objects=options.max_objects,
        waiting=options.max_waiting,
        batch=options.max_batch,
        sessions=options.max_sessions,
        session_idle_s=options.session_idle,
        feature_bytes=options.embedding_memory * _MB,
        image_bytes=options.image_memory * _MB,
        drain_s=options.drain,
    )


def _name_extra(missing: ModuleNotFoundError) -> Exception:
    if (missing.name or "").partition(".")[0] not in _EXTRA:
        return missing
    message = f"masklet serve needs {missing.name}, which is not installed"
    return BackendError("backend-missing", message, hint='pip install ".[serve]"')


def _show(server: ApiServer, request: ServeRequest, token: str | None) -> None:
    info = server.service.model_info
    console.say(f"masklet serve: {server.address}v1 with {info.name} on {info.runtime}, {info.device}")
    for name, prefix in server.prefixes.items():
        console.say(f"{name}: {server.address}{prefix.lstrip('/')}")
    if token is None and is_loopback(request.access.host):
        console.say("without a token, every program of this machine may use it")
    console.say("Ctrl-C ends it")
    if request.json:
        record = {"address": server.address, "port": server.port, "model": asdict(info), "protocols": server.prefixes}
        console.print_line(json.dumps(record))
        sys.stdout.flush()

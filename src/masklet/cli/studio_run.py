"""Studio run: opens the project, serves the page, and adds images and videos."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from masklet.checkpoints.hub import find_release
from masklet.cli import console
from masklet.cli.console import print_warnings
from masklet.cli.options import ModelOptions, locate_model
from masklet.cli.studio_page import show_page
from masklet.cli.webcam_session import open_source
from masklet.errors import InputNotFound, MaskletError, ResourceError, SettingsError
from masklet.files.error_translation import translate_read_errors
from masklet.files.open_input import require_input
from masklet.http.security import LOOPBACK_NAMES, Access, is_loopback
from masklet.project.media import add_media
from masklet.project.project import Project
from masklet.segmenter import Segmenter
from masklet.signals import END_SIGNALS
from masklet.studio.app import Site
from masklet.studio.camera_run import CameraRun
from masklet.studio.connection import Clients
from masklet.studio.live import LiveCommands
from masklet.studio.server import Server
from masklet.studio.studio import Studio

TOKEN_VARIABLE = "MASKLET_TOKEN"
DEFAULT_PORT = 8790  # always the same, because browsers store settings of the page by port
_EVERY_HOST = ("0.0.0.0", "::", "")
_MAX_TOKEN_BYTES = 4096
_MAX_SKIPPED = 5  # files that are listed


@dataclass(frozen=True, slots=True)
class StudioRequest:
    """A run of the studio.

    Attributes:
        paths: Images, videos and folders to add to the project, and cameras to show.
        project: The folder of the project.
        port: The port; None for the default one, or any if it is taken.
        host: The address to listen on.
        allowed_hosts: Further names of the server.
        token_file: File with the token; None for the environment variable.
        json: Print the address as JSON.
    """

    paths: list[str]
    project: Path
    model: ModelOptions
    port: int | None
    browser: bool
    host: str
    allowed_hosts: list[str]
    token_file: Path | None
    json: bool


def run(request: StudioRequest) -> int:
    """Serve the studio until Ctrl-C, and return the exit status.

    Raises:
        MaskletError: An input, the project, the token or the port is not usable.
    """
    access = _make_access(request)
    files = [path for path in request.paths if not _is_camera(path)]
    folders = _list_folders(files)
    _check_model(request.model.model)
    with ExitStack() as stack:
        stack.enter_context(print_warnings())
        try:
            project = stack.enter_context(_open_project(request))
            clients = Clients()
            studio = Studio(project, clients, lambda: _load(request.model), request.model.model, folders)
            stack.callback(studio.close)
            cameras = [_open_camera(path, project, studio, stack) for path in request.paths if _is_camera(path)]
            server = _serve(_make_site(studio, clients, cameras), access, request)
            stack.callback(server.close)
            stack.callback(_ignore_signals)  # while the studio is closed, which takes some seconds
            _show(server, cameras, request)
            _add_media(project, files)
            _wait()
        except KeyboardInterrupt:
            console.say("closing; everything is saved")
    return 0


def _make_access(request: StudioRequest) -> Access:
    """Return who may use the studio.

    Raises:
        SettingsError: Other machines may connect, but there is no token.
    """
    token = _read_token(request.token_file)
    if token is None and not is_loopback(request.host):
        message = f"--host {request.host} lets other machines connect; set ${TOKEN_VARIABLE} or --token-file"
        raise SettingsError("bad-usage", f"{message} to a token of at least 16 characters")
    own = [] if request.host in (*_EVERY_HOST, *LOOPBACK_NAMES, "::1") else [request.host]
    return Access([*own, *request.allowed_hosts], token)


def _read_token(file: Path | None) -> str | None:
    """Read the token. The variable is removed, so that other programs do not inherit it."""
    variable = os.environ.pop(TOKEN_VARIABLE, None)
    if file is None:
        return variable or None
    with translate_read_errors(file), file.open("rb") as handle:
        content = handle.read(_MAX_TOKEN_BYTES)
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        raise SettingsError("bad-usage", f"{file}: the token must be a line of text in UTF-8") from None


def _is_camera(path: str) -> bool:
    return "://" in path or (path.isdecimal() and not Path(path).exists())


def _list_folders(paths: list[str]) -> list[Path]:
    """Return the folders among the paths. Raises `InputNotFound` if a path does not exist."""
    found = [require_input(path) for path in paths]
    return [path for path in found if path.is_dir()]


def _check_model(model: str) -> None:
    """Raise `MaskletError` for a model that does not exist; a release is downloaded later."""
    if find_release(model) is None:
        locate_model(model)


def _open_project(request: StudioRequest) -> Project:
    try:
        project = Project.open(request.project, create=bool(request.paths))
    except InputNotFound as missing:
        message = f"there is no project in {request.project}; give images, videos or folders to make one"
        raise InputNotFound("input-not-found", message, path=str(request.project)) from missing
    console.say(f"project: {request.project}")
    return project


def _load(options: ModelOptions) -> Segmenter:
    """Load the model, in a thread of the studio. Errors are shown on the page, and printed."""
    try:
        return options.load(runtime=select_runtime(options))
    except MaskletError as error:
        console.print_error(error)
        raise


def select_runtime(options: ModelOptions) -> str | None:
    """Select onnxruntime on a CPU, where it predicts sooner than PyTorch; None leaves the choice to `load`."""
    if find_spec("torch") is None or options.dtype not in (None, "float32"):
        return None
    from masklet.backends.torch_device import select_device

    is_cpu = options.device == "cpu" or (options.device is None and select_device(None).type == "cpu")
    return "onnx" if is_cpu else None


def _open_camera(source: str, project: Project, studio: Studio, stack: ExitStack) -> LiveCommands:
    """Show a camera until the stack is closed, and return the commands of its page. Raises `ResourceError`."""
    run = CameraRun(open_source(source), project, studio.run_with_model)
    stack.callback(run.close)
    studio.add_camera(run.page.name)
    return run.page


def _make_site(studio: Studio, clients: Clients, cameras: list[LiveCommands]) -> Site:
    return Site(studio, clients, cameras=cameras, start="/live/1" if cameras else "/")


def _serve(site: Site, access: Access, request: StudioRequest) -> Server:
    port = DEFAULT_PORT if request.port is None else request.port
    try:
        return Server(site, access, request.host, port)
    except ResourceError:
        if request.port is not None:
            raise
        return Server(site, access, request.host, 0)


def _show(server: Server, cameras: list[LiveCommands], request: StudioRequest) -> None:
    show_page(server, "masklet studio", browser=request.browser)
    if not is_loopback(request.host):
        console.say(f"other machines: http://NAME:{server.port}/enter, for each NAME of --allow-host, with the token")
    for number, camera in enumerate(cameras, start=1):
        console.say(f"{camera.name}: {server.address}live/{number}")
    console.say("Ctrl-C ends it")
    if request.json:
        record = {"address": server.address, "port": server.port, "project": str(request.project),
                  "entry": str(server.entry.path)}  # fmt: skip
        console.print_line(json.dumps(record))
        sys.stdout.flush()


def _add_media(project: Project, paths: list[str]) -> None:
    """Add the images and videos, which appear on the page meanwhile."""
    if not paths:
        return
    result = add_media(project, paths)
    for path, reason in result.skipped[:_MAX_SKIPPED]:
        console.say(f"skipped: {reason if str(path) in reason else f'{path}: {reason}'}")
    if len(result.skipped) > _MAX_SKIPPED:
        console.say(f"skipped: {len(result.skipped) - _MAX_SKIPPED} further files")
    added, known = len(result.added), len(result.known)
    console.say(f"{added} images and videos added" + (f", {known} were in the project" if known else ""))


def _ignore_signals() -> None:
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _wait() -> None:
    """Wait for a signal."""
    while True:
        time.sleep(60.0)

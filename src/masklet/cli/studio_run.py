"""Studio run: opens the project, serves the page, and adds images and videos."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from masklet.cli import console
from masklet.cli.console import print_warnings
from masklet.cli.detection_options import check_detect_score, select_detector_device
from masklet.cli.options import ModelOptions
from masklet.cli.server_options import check_model, ignore_signals, list_hosts, read_token, select_runtime
from masklet.cli.studio_page import show_page
from masklet.cli.webcam_session import open_source
from masklet.detectors.load import check_detector_name, load_text_detector
from masklet.errors import InputNotFound, MaskletError, ResourceError, SettingsError
from masklet.files.open_input import require_input
from masklet.http.security import Access, is_loopback
from masklet.project.media import add_media
from masklet.project.project import Project
from masklet.segmenter import Segmenter
from masklet.studio.app import Site
from masklet.studio.camera_run import CameraRun
from masklet.studio.connection import Clients
from masklet.studio.live import LiveCommands
from masklet.studio.server import Server
from masklet.studio.studio import Studio
from masklet.studio.text_prompts import TextPrompts

DEFAULT_PORT = 8790  # always the same, because browsers store settings of the page by port
_MAX_SKIPPED = 5  # files that are listed


@dataclass(frozen=True, slots=True)
class StudioRequest:
    """A run of the studio.

    Attributes:
        paths: Images, videos and folders to add to the project, and cameras to show.
        project: The folder of the project.
        detector: Name of the detector of objects that a text names; None for none.
        detect_score: Lowest score of the detector; None for its own.
        port: The port; None for the default one, or any if it is taken.
        host: The address to listen on.
        allowed_hosts: Further names of the server.
        token_file: File with the token; None for the environment variable.
        json: Print the address as JSON.
    """

    paths: list[str]
    project: Path
    detector: str | None
    detect_score: float | None
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
    access = Access(list_hosts(request.host, request.allowed_hosts), read_token(request.token_file, request.host))
    files = [path for path in request.paths if not _is_camera(path)]
    folders = _list_folders(files)
    check_model(request.model.model)
    text_prompts = _find_text_prompts(request)
    with ExitStack() as stack:
        stack.enter_context(print_warnings())
        try:
            project = stack.enter_context(_open_project(request))
            clients = Clients()
            studio = Studio(project, clients, lambda: _load(request.model), request.model.model, folders, text_prompts)
            stack.callback(studio.close)
            cameras = [_open_camera(path, project, studio, stack) for path in request.paths if _is_camera(path)]
            server = _serve(_make_site(studio, clients, cameras), access, request)
            stack.callback(server.close)
            stack.callback(ignore_signals)  # while the studio is closed, which takes some seconds
            _show(server, cameras, request)
            _add_media(project, files)
            _wait()
        except KeyboardInterrupt:
            console.say("closing; everything is saved")
    return 0


def _is_camera(path: str) -> bool:
    return "://" in path or (path.isdecimal() and not Path(path).exists())


def _list_folders(paths: list[str]) -> list[Path]:
    """Return the folders among the paths. Raises `InputNotFound` if a path does not exist."""
    found = [require_input(path) for path in paths]
    return [path for path in found if path.is_dir()]


def _find_text_prompts(request: StudioRequest) -> TextPrompts | None:
    """Return the detector of objects that a text names, which is loaded later. Raises `MaskletError`."""
    name, score = request.detector, request.detect_score
    if name is None:
        if score is not None:
            raise SettingsError("bad-usage", "--detect-score needs --detector")
        return None
    check_detect_score(score)
    check_detector_name(name)
    device = select_detector_device(request.model.device)
    return TextPrompts(name, lambda: load_text_detector(name, min_score=score, device=device), score)


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


def _wait() -> None:
    """Wait for a signal."""
    while True:
        time.sleep(60.0)

"""Cameras of the studio: tracking where there are objects, recordings that become videos, and lost cameras."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.errors import BackendError, ResourceError
from masklet.project.project import Project
from masklet.segmenter import Segmenter
from masklet.studio.camera_run import CameraRun
from masklet.studio.messages import pack, unpack
from masklet.studio.recording import Recording
from masklet.video.cameras import Camera, CameraOptions
from support.cameras import FakeCamera
from support.color_backend import ColorBackend

SIZE = (48, 64)
QUICK = CameraOptions(timeout_s=0.1, max_reconnects=0, connect_timeout_s=2)


class RecordedClient:
    """A client that records what it is sent."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.events: list[Any] = []

    def send_binary(self, header: Any, payload: bytes) -> None:
        """Record a binary message."""
        self.frames.append(unpack(pack(header, payload))[0])

    def send_event(self, event: Any) -> None:
        """Record an event."""
        self.events.append(event)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.open(tmp_path / "birds") as project:
        yield project


def open_camera(number: int | None = None) -> Camera:
    """Return a camera that shows a square; the corner pixel changes, so that no frame repeats."""

    def images() -> Iterator[np.ndarray]:
        for place in count() if number is None else range(number):
            image = np.full((*SIZE, 3), 40, np.uint8)
            image[10:30, 20:40] = 200
            image[0, 0] = place % 30
            yield image

    return Camera("camera 0", lambda: FakeCamera(images()), QUICK)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def send(run: CameraRun, command: str, **arguments: Any) -> Any:
    return asyncio.run(run.page.handle(None, command, arguments))  # type: ignore[arg-type]


def test_objects_are_tracked_and_the_model_is_used_only_where_there_are_some(project: Project) -> None:
    threads: set[str] = set()
    model = Segmenter(ColorBackend())

    def run_with_model(work: Callable[[Segmenter], Any]) -> Any:
        threads.add(threading.current_thread().name)
        return work(model)

    with closing(CameraRun(open_camera(), project, run_with_model)) as run:
        run.page.clients.add(client := RecordedClient())  # type: ignore[arg-type]
        wait_for(lambda: client.frames)
        assert not threads and client.frames[-1]["recording"] is None
        send(run, "predict", frame=client.frames[-1]["number"], object=None, points=[[30, 20, 1]], box=None)
        wait_for(lambda: client.frames[-1]["masks"])
        send(run, "remove_objects", objects=[1])
        wait_for(lambda: not client.frames[-1]["masks"])
    assert threads == {"masklet-camera"}
    assert client.events[-1] == {"event": "ended", "files": None, "problem": None}


def test_a_recording_becomes_a_video_of_the_project(project: Project) -> None:
    with closing(CameraRun(open_camera(), project, lambda work: pytest.fail("no model is needed"))) as run:
        run.page.clients.add(client := RecordedClient())  # type: ignore[arg-type]
        for _ in range(2):
            send(run, "record", on=True)
            wait_for(lambda: client.frames and client.frames[-1]["recording"])
            wait_for(lambda: all(frame["recording"] for frame in client.frames[-3:]))
            send(run, "record", on=False)
            wait_for(lambda: not client.frames[-1]["recording"])
        send(run, "record", on=True)
        wait_for(lambda: client.frames[-1]["recording"])
    media = project.document.media()
    recorded = [event for event in client.events if event["event"] == "recorded"]
    assert [event["medium"] for event in recorded] == [1, 2, 3] == [*media]
    assert {Path(event["path"]).parent for event in recorded} == {project.folder / "recordings"}
    assert all(one.kind == "video" and one.size == SIZE and one.frames for one in media.values())


def test_a_recording_without_frames_is_a_problem_and_the_camera_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise ResourceError("disk-full", "the disk is full")

    monkeypatch.setattr(Recording, "add", fail)
    with closing(CameraRun(open_camera(), project, lambda work: pytest.fail("no model is needed"))) as run:
        run.page.clients.add(client := RecordedClient())  # type: ignore[arg-type]
        send(run, "record", on=True)
        wait_for(lambda: len(client.events) == 2)
        seen = len(client.frames)
        wait_for(lambda: len(client.frames) > seen)
        assert [event["problem"]["code"] for event in client.events] == ["disk-full", "video-no-frames"]
    assert not project.document.media()


def test_a_lost_camera_and_a_model_that_fails_are_reported(project: Project) -> None:
    def fail(work: Callable[[Segmenter], Any]) -> Any:
        raise BackendError("onnx-failed", "the model is broken")

    with closing(CameraRun(open_camera(40), project, fail)) as run:
        run.page.clients.add(client := RecordedClient())  # type: ignore[arg-type]
        wait_for(lambda: client.frames)
        send(run, "predict", frame=client.frames[-1]["number"], object=None, points=[[30, 20, 1]], box=None)
        send(run, "record", on=True)
        wait_for(lambda: client.events and client.events[-1]["event"] == "ended")
    assert [event["problem"]["code"] for event in client.events if event["event"] == "problem"] == ["onnx-failed"]
    assert [event["event"] for event in client.events][-2:] == ["recorded", "ended"]
    assert client.events[-1]["problem"]["code"] == "camera-lost"

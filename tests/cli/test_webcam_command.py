"""`masklet webcam` with fake cameras: the files it writes, the page, and exit statuses."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from masklet.cli import options, webcam_session
from masklet.cli.live_output import MaskWriter
from masklet.cli.main import main
from masklet.formats import find_formats, read_masks
from masklet.jobs.frame_log import FrameLog
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.segmenter import Segmenter
from masklet.studio.messages import decode_runs, unpack
from masklet.studio.recording import Recording
from masklet.studio.server import Server
from masklet.video.cameras import Camera, CameraOptions
from support.cameras import FakeCamera, FileCamera, make_square, make_squares
from support.clips import make_numbered_image, write_clip
from support.color_backend import ColorBackend
from support.fake_backend import FakeBackend
from support.studio import Visitor, ask

SIZE = (48, 64)
QUICK = CameraOptions(timeout_s=0.3, max_reconnects=1, connect_timeout_s=2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a backend that segments by color, and do not wait for the disk."""
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: Segmenter(ColorBackend()))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def plug(monkeypatch: pytest.MonkeyPatch, connect: Callable[[], Any], options: CameraOptions = QUICK) -> None:
    monkeypatch.setattr(webcam_session, "open_source", lambda source: Camera(f"camera {source}", connect, options))


def webcam(*words: str | Path) -> int:
    status = main(["webcam", *map(str, words)])
    assert status != 1
    return status


def test_every_graph_has_run_once_before_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend()
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: Segmenter(backend))
    plug(monkeypatch, lambda: FakeCamera(make_squares()))
    assert webcam("--point", "20,20", "--no-preview", "--stop", "1") == 0
    verbs = [verb for verb, _ in backend.calls]
    assert verbs[:6] == ["encode", "attend", "decode", "memorize", "attend", "encode"]


def test_frames_are_tracked_recorded_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: Segmenter(FakeBackend()))
    clip = write_clip(tmp_path / "clip.mp4", 6)
    plug(monkeypatch, lambda: FileCamera(clip), CameraOptions(timeout_s=5, connect_timeout_s=5))
    words = ["--point", "20,20", "--box", "1,1,9,9@2#3", "--no-preview", "--record", tmp_path / "seen.mp4"]
    assert webcam(*words, "--out", tmp_path / "out", "--format", "png,sav,coco,npz", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["frames"], summary["frames_dropped"], summary["ended"]) == (6, 0, "stopped")
    assert [one["id"] for one in summary["objects"]] == [1, 3]
    for form in ("png", "sav", "coco", "npz"):
        assert len(list(read_masks(summary["files"][form]))) == 6
    with av.open(summary["files"]["record"]) as seen:
        assert [round(float(frame.time), 3) for frame in seen.decode(video=0)] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_masks_belong_to_their_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, lambda: FakeCamera(make_squares()))
    words = ["--point", "14,20", "--no-preview", "--stop", "5", "--out", tmp_path]
    assert webcam(*words) == 0
    frames = list(read_masks(tmp_path / "png"))
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert all(frame.masks.areas.tolist() == [400] for frame in frames)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_everything_is_saved_after_a_signal(
    number: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shots = [*make_squares(6), lambda: os.kill(os.getpid(), number)]
    plug(monkeypatch, lambda: FakeCamera((shot for part in (shots, make_squares()) for shot in part), pause_s=0.03))
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    words = ["--point", "14,20", "--no-preview", "--record", tmp_path / "seen.mp4", "--out", tmp_path / "out"]
    assert webcam(*words, "--format", "png,coco", "--stop", "500") == status
    assert signal.getsignal(signal.SIGINT) == before[1]
    signal.signal(signal.SIGTERM, before[0])
    done = len(list(read_masks(tmp_path / "out/coco.json")))
    assert 1 <= done == len(list(read_masks(tmp_path / "out/png"))) < 500
    with av.open(str(tmp_path / "seen.mp4")) as seen:
        assert done <= len(list(seen.decode(video=0))) <= done + (number == signal.SIGTERM)


Visit = Callable[[ClientConnection], None]


def visit(monkeypatch: pytest.MonkeyPatch, run: Visit) -> list[BaseException]:
    """Let a browser open the page, call a function in a thread, and then press the stop button.

    Returns a list of what the function raised, which is complete when the command has ended.
    """
    raised: list[BaseException] = []

    def browse(server: Server) -> None:
        with Visitor(server).connect(max_size=None) as socket:
            try:
                run(socket)
            except BaseException as error:  # noqa: BLE001 - raised in a thread
                raised.append(error)
            with suppress(ConnectionClosed):
                socket.send('{"id": 0, "command": "stop"}')

    def open_page(server: Server, *rest: object) -> None:
        threading.Thread(target=browse, args=(server,), daemon=True).start()

    monkeypatch.setattr(webcam_session, "show_page", open_page)
    return raised


def receive_frame(socket: ClientConnection) -> dict[str, Any]:
    """Wait for the next frame, and return its header."""
    while True:
        message = socket.recv(timeout=60)
        if isinstance(message, bytes) and (header := unpack(message)[0])["kind"] == "frame":
            return header


def wait_for_objects(socket: ClientConnection, wanted: list[int]) -> int:
    """Wait until a frame has these objects, and return its number."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        header = receive_frame(socket)
        if [mask["object"] for mask in header["masks"]] == wanted:
            return header["number"]
    raise AssertionError(f"{wanted} did not appear")


def still_squares() -> Iterator[Any]:
    """A square that does not move; the corner pixel changes, so that no frame repeats."""
    for place in count():
        image = make_square(6)
        image[0, 0] = 1 + place % 30
        yield image


def test_clicks_on_the_page_create_objects_and_correct_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, lambda: FakeCamera(still_squares()))

    def run(socket: ClientConnection) -> None:
        number = receive_frame(socket)["number"]
        reply = ask(socket, "predict", frame=number, object=None, points=[[1, 43, 1]], box=None)  # the background
        assert reply["object"] == 1
        wait_for_objects(socket, [1])
        number = wait_for_objects(socket, [1])
        ask(socket, "predict", frame=number, object=1, points=[[22, 20, 1]], box=None)  # and the square
        reply = ask(socket, "predict", frame=number, object=None, points=[[22, 20, 1]], box=None)
        assert reply["object"] == 2
        number = wait_for_objects(socket, [1, 2])
        ask(socket, "predict", frame=number, object=1, points=[[22, 20, 0]], box=None)  # removes the square again
        for _ in range(5):
            number = receive_frame(socket)["number"]

    raised = visit(monkeypatch, run)
    assert webcam("--out", tmp_path, "--format", "sav,coco", "--stop", "2000") == 0
    assert not raised
    frames = list(read_masks(tmp_path / "coco.json"))
    assert len(frames[0].masks) == 0
    last = next(frame.masks for frame in reversed(frames) if len(frame.masks) == 2)
    assert last.areas.tolist()[1] == 400 and last.areas[0] >= 48 * 64 - 400 - 1
    assert len(list(read_masks(tmp_path / "sav"))) == len(frames), "objects that came later have masks on every frame"


def test_a_click_applies_to_the_frame_that_was_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()

    def film() -> Iterator[np.ndarray]:
        """Show a square until the page holds a frame."""
        for place in count():
            image = np.full((*SIZE, 3), 40 + 20 * (not held.is_set()) + place % 2, np.uint8)
            yield image if held.is_set() else _draw_square(image)

    plug(monkeypatch, lambda: FakeCamera(film(), pause_s=0.02))

    def run(socket: ClientConnection) -> None:
        first = receive_frame(socket)["number"]
        ask(socket, "hold", frame=first)
        held.set()
        while receive_frame(socket)["number"] < first + 5:  # the square has left the camera
            pass
        ask(socket, "predict", frame=first, object=None, points=[[30, 20, 1]], box=None)
        while True:
            message = socket.recv(timeout=60)
            if isinstance(message, bytes) and (found := unpack(message))[0]["kind"] == "masks":
                break
        header, runs = found
        assert (header["number"], header["size"]) == (first, [*SIZE])
        assert decode_runs(runs, SIZE).sum() == 400

    raised = visit(monkeypatch, run)
    assert webcam("--out", tmp_path, "--stop", "2000") == 0
    assert not raised


def _draw_square(image: np.ndarray) -> np.ndarray:
    image[10:30, 20:40] = 200
    return image


def test_removing_an_object_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, lambda: FakeCamera(make_squares()))

    def run(socket: ClientConnection) -> None:
        wait_for_objects(socket, [1, 2])
        ask(socket, "remove_objects", objects=[1, 7])
        wait_for_objects(socket, [2])
        assert (
            ask(socket, "predict", frame=0, object=1, points=[[1, 1, 1]], box=None)["problem"]["code"]
            == "unknown-object"
        )

    raised = visit(monkeypatch, run)
    assert webcam("--point", "14,20#1", "--point", "60,40#2", "--out", tmp_path, "--stop", "2000") == 0
    assert not raised and list(read_masks(tmp_path / "png"))[-1].masks.object_ids == (2,)


@pytest.mark.parametrize("words", [[], ["--record", "seen.mp4", "--out", "masks"]])
def test_the_page_reports_what_was_saved(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plug(monkeypatch, lambda: FakeCamera(make_squares()))
    ended: list[Any] = []

    def run(socket: ClientConnection) -> None:
        expected = {"png": str(tmp_path / "masks/png"), "record": str(tmp_path / "seen.mp4")} if words else {}
        assert ask(socket, "hello")["outputs"] == expected
        socket.send('{"id": 9, "command": "stop"}')
        with suppress(ConnectionClosed):
            while True:
                message = socket.recv(timeout=60)
                if isinstance(message, str) and "event" in message:
                    ended.append(json.loads(message))
        assert ended == [{"event": "ended", "files": expected, "problem": None}, {"event": "closing"}]
        assert all(Path(path).exists() for path in expected.values())
        is_checked.set()

    is_checked = threading.Event()
    raised = visit(monkeypatch, run)
    assert webcam(*words) == 0
    assert is_checked.wait(60) and not raised


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--no-preview"], 2, "nothing to track"),
        (["--point", "500,5"], 65, "of 64 × 48 pixels"),
        (["--point", "5"], 2, "--point takes 2 numbers"),
        (["--point", "5,5#70000", "--format", "png"], 65, "from 1 to 65535"),
        (["--format", "overlay"], 2, "use --record FILE"),
        (["--format", "gif"], 2, "unknown format"),
        (["--record", "there.mp4"], 73, "there.mp4 exists"),
        (["--record", "no/where.mp4", "--point", "5,5"], 73, "where.mp4"),
        (["--out", ".", "--format", "coco"], 73, "coco.json exists"),
        (["--holes", "-1"], 2, "--holes"),
    ],
)
def test_wrong_input_is_refused_and_nothing_is_written(
    words: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("there.mp4", "coco.json"):
        Path(name).write_text("mine")
    plug(monkeypatch, lambda: FakeCamera(make_squares()))
    assert webcam(*words, "--stop", "2") == status
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco.json", "there.mp4"]


def test_a_source_that_is_neither_number_nor_address_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert webcam("front", "--point", "5,5") == 2
    assert "a camera is a number" in capsys.readouterr().err


def test_an_earlier_session_is_replaced_only_with_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, lambda: FakeCamera(make_squares()))
    words = ["--point", "14,20", "--no-preview", "--out", tmp_path]
    assert webcam(*words, "--stop", "5") == 0
    assert webcam(*words, "--stop", "3") == 73
    assert webcam(*words, "--stop", "3", "--overwrite") == 0
    assert len(list(read_masks(tmp_path / "png"))) == 3


def test_an_earlier_session_remains_until_the_first_frame_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(monkeypatch, lambda: FakeCamera(make_squares()))
    words = ["--point", "14,20", "--no-preview", "--out", tmp_path, "--overwrite"]
    assert webcam(*words, "--stop", "3") == 0
    plug(monkeypatch, lambda: FakeCamera(iter(())), CameraOptions(connect_timeout_s=0.1))
    assert webcam(*words) == 69
    assert len(list(read_masks(tmp_path / "png"))) == 3


def test_a_frame_is_logged_before_the_next_one_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    before = FrameLog.append
    monkeypatch.setattr(FrameLog, "append", lambda self, frame: (before(self, frame), lengths.append(len(self)))[0])
    plug(monkeypatch, lambda: FakeCamera(make_numbered_image(place, (16, 64)) for place in range(200)))
    assert webcam("--point", "14,10", "--no-preview", "--stop", "4", "--out", tmp_path) == 0
    assert lengths == [1, 2, 3, 4]


def test_a_recording_can_be_played_before_it_is_closed(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "seen.mp4", SIZE)
    for place in range(5):
        recording.add(make_square(place), place / 10)
    with av.open(str(tmp_path / "seen.mp4")) as seen:  # the file if the process were killed now
        assert len(list(seen.decode(video=0))) >= 4
    recording.close()
    with av.open(str(tmp_path / "seen.mp4")) as seen:
        assert [round(float(frame.time), 3) for frame in seen.decode(video=0)] == [0, 0.1, 0.2, 0.3, 0.4]


def test_a_label_that_is_given_late_is_in_the_files_of_all_frames(tmp_path: Path) -> None:
    camera = SimpleNamespace(name="camera", size=SIZE)
    writer = MaskWriter(tmp_path, find_formats(["yolo", "labelme", "coco"]), camera, [1], {})
    square = np.zeros(SIZE, bool)
    square[4:12, 4:12] = True
    for index, label in enumerate([None, "dog", "dog"]):
        writer.add(encode_frame(TrackedFrame(index, index / 25, Masks.from_binary(square, labels=[label]))))
    writer.finish()
    for path in writer.files.values():
        assert [frame.masks.labels for frame in read_masks(path)] == [("dog",)] * 3


def test_labels_of_the_prompts_are_in_the_files_of_the_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plug(monkeypatch, lambda: FakeCamera(make_numbered_image(place, (16, 64)) for place in range(200)))
    words = ["--point", "14,10", "--point", "40,10@2#2", "--label", "dog", "--label", "cat#2", "--no-preview"]
    assert webcam(*words, "--stop", "4", "--out", tmp_path, "--format", "yolo,png,coco") == 0
    rewritten = [line for line in capsys.readouterr().err.splitlines() if line.startswith("writing ")]
    assert rewritten == [f"writing {tmp_path / 'coco.json'}"]
    labels = {1: "dog", 2: "cat"}
    for name in ("yolo", "png"):
        found = [dict(zip(f.masks.object_ids, f.masks.labels, strict=True)) for f in read_masks(tmp_path / name)]
        assert len(found) == 4 and found[-1] == labels

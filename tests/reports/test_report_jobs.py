"""Reported faults of jobs and sessions: lost outputs, damaged states and foreign logs. Numbers are of the reports."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from masklet.checkpoints.writer import stream_tensors
from masklet.cli.main import main
from masklet.errors import CheckpointError, MaskletError
from masklet.jobs.frame_log import FrameLog
from masklet.masks.rle_frame import RleFrame
from masklet.prompts import click, mask
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from support.fake_backend import FakeBackend
from support.gray_world import draw_boxes

CLIP = np.random.default_rng(0).integers(0, 256, (8, 12, 16, 3), np.uint8)
FORMATS = "png,sav,yolo,labelme,coco,overlay"


@pytest.fixture
def frames(tmp_path: Path, gray_world: None) -> Path:
    """A folder of six frames with two boxes."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(draw_boxes({200: (2 + number, 5, 12 + number, 20), 90: (30, 20, 44, 34)})).save(
            folder / f"{number}.png"
        )
    return folder


def track(frames: Path, out: Path, *words: str, formats: str = FORMATS) -> int:
    prompts = ("--point", "8,10#1", "--point", "35,25#2", "--format", formats)
    return main(["track", str(frames), "--out", str(out), *prompts, *words])


def read_outputs(out: Path) -> dict[str, bytes]:
    """Read all files except the job's own."""
    files = (path for path in out.rglob("*") if path.is_file() and ".masklet" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def after_frame(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Call `act` when a job has finished its first `number` frames."""
    append = FrameLog.append

    def append_and_act(log: FrameLog, frame: RleFrame) -> None:
        append(log, frame)
        if len(log) == number:
            act()

    monkeypatch.setattr(FrameLog, "append", append_and_act)


# 7: outputs that were lost


@pytest.mark.parametrize("parity", [0, 1])
def test_7_resume_writes_what_was_removed_or_truncated(parity: int, frames: Path, tmp_path: Path) -> None:
    assert track(frames, tmp_path / "out") == 0
    whole = read_outputs(tmp_path / "out")
    assert len(whole) > 30
    for number, name in enumerate(sorted(whole)):
        path = tmp_path / "out" / name
        if number % 2 == parity:
            path.unlink()
        else:
            path.write_bytes(whole[name][: len(whole[name]) // 2])
    assert track(frames, tmp_path / "out", "--resume") == 0
    restored = read_outputs(tmp_path / "out")
    assert restored.keys() == whole.keys()
    assert [name for name in whole if restored[name] != whole[name]] == []


@pytest.mark.parametrize("folder", ["png", "yolo", "labelme"])
def test_7_a_folder_that_is_removed_during_the_job_is_complete_at_its_end(
    folder: str, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert track(frames, tmp_path / "whole") == 0
    after_frame(monkeypatch, 3, lambda: shutil.rmtree(tmp_path / "out" / folder))
    assert track(frames, tmp_path / "out") == 0
    assert read_outputs(tmp_path / "out").keys() == read_outputs(tmp_path / "whole").keys()


# 16: logs that are removed, or of others


@pytest.mark.parametrize("place", [".masklet", "."])
def test_16_a_log_that_is_removed_during_the_job_is_an_error_of_writing(
    place: str, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    after_frame(monkeypatch, 3, lambda: (out / place).resolve().rename(tmp_path / "moved"))
    assert track(frames, out, formats="png") == 73
    assert "[output-unwritable]" in capsys.readouterr().err


FRAME = {
    "frame": 0, "time": 0.0, "size": [40, 60], "object_ids": [1], "scores": [1.0], "object_scores": [1.0],
    "counts": ["PK"], "corrupt": False,
}  # fmt: skip
FOREIGN = {
    "braces": "{{{",
    "empty object": "{}",
    "list": "[1]",
    "number": "3",
    "text": '"frame"',
    "null": "null",
    "deep": "[" * 100_000 + "]" * 100_000,
    "huge number": '{"frame": ' + "9" * 5000 + ", }",
    "note of text": '{"note": "text"}',
    "note of live text": '{"note": {"live": 3}}',
    "no description": '{"masklet": 1}',
    "unhashable": '{"masklet": [], "identity": {}, "job": null}',
}
FOREIGN_FRAMES: dict[str, dict[str, Any]] = {
    "no size": {"size": None},
    "another size": {"size": [4, 6]},
    "another frame": {"frame": 77},
    "text as score": {"scores": ["x"]},
    "scores miss": {"scores": []},
    "infinite score": {"scores": [float("inf")]},
    "counts of numbers": {"counts": [5]},
    "short counts": {"counts": ["1"]},
    "ids of text": {"object_ids": ["a"]},
    "labels of numbers": {"labels": [3]},
}


def make_line(text: str) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(text.encode()), text.encode())


@pytest.mark.parametrize("position", ["first", "second"])
def test_16_a_foreign_log_is_refused_and_can_be_replaced(
    position: str, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(frames, tmp_path / "job", formats="png") == 0
    description = (tmp_path / "job/.masklet/journal.jsonl").read_bytes().splitlines(keepends=True)[0]
    for name, text in FOREIGN.items():
        out = tmp_path / name
        (out / ".masklet").mkdir(parents=True)
        start = description if position == "second" else b""
        (out / ".masklet/journal.jsonl").write_bytes(start + make_line(text))
        status, message = track(frames, out, "--resume", formats="png"), capsys.readouterr().err
        assert (status in (65, 78)) and "[internal]" not in message, (name, status, message)
        assert track(frames, out, "--overwrite", formats="png") == 0, name


def test_16_a_frame_that_is_not_of_the_job_is_refused(
    frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(frames, tmp_path / "job", formats="png") == 0
    description = (tmp_path / "job/.masklet/journal.jsonl").read_bytes().splitlines(keepends=True)[0]
    for name, changes in FOREIGN_FRAMES.items():
        out = tmp_path / name
        (out / ".masklet").mkdir(parents=True)
        line = make_line(json.dumps({**FRAME, **changes}))
        (out / ".masklet/journal.jsonl").write_bytes(description + line)
        status, message = track(frames, out, "--resume", formats="png,coco"), capsys.readouterr().err
        assert status == 65 and "[internal]" not in message, (name, status, message)
        assert track(frames, out, "--overwrite", formats="png") == 0, name


def test_16_a_log_that_is_a_folder_is_an_error_of_writing(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "out/.masklet/journal.jsonl").mkdir(parents=True)
    assert track(frames, tmp_path / "out", "--resume", formats="png") == 73
    assert track(frames, tmp_path / "out", "--overwrite", formats="png") == 73


# 8: sessions


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A session with two objects on four frames, one of them prompted by a mask."""
    tracker = Tracker(FakeBackend(), CLIP)
    shape = np.zeros((12, 16), bool)
    shape[2:5, 3:9] = True
    tracker.prompt(0, {1: click(3, 3), 2: mask(shape)})
    for frame in range(4):
        tracker.step(frame)
    tracker.save(tmp_path / "session")
    return tmp_path / "session"


def test_8_a_session_with_any_damaged_byte_is_refused(session: Path) -> None:
    content = session.read_bytes()
    rng = np.random.default_rng(8)
    for position in (*range(0, 64, 7), *rng.integers(0, len(content), 150).tolist()):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        session.write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            read_session(session, FakeBackend(), CLIP)
        assert caught.value.code == "session-broken", position
    session.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    with pytest.raises(CheckpointError):
        read_session(session, FakeBackend(), CLIP)
    session.write_bytes(content)
    assert read_session(session, FakeBackend(), CLIP).object_ids == (1, 2)


def edit(session: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change the header and the arrays of a session, which gets the right checksum."""
    with safe_open(session, framework="numpy") as file:
        header = json.loads(file.metadata()["masklet"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    text = change(header, arrays)
    metadata = {"masklet": text if isinstance(text, str) else json.dumps(header)}
    stream_tensors(session, lambda: list(arrays.items()), metadata, with_checksum=True)


HEADER_VALUES = (None, -1, 0, 10**30, 1.5, True, "x", [], [1], {}, {"0": 1}, [[1]], float("nan"))


def test_8_a_session_with_any_other_value_is_refused_or_usable(session: Path) -> None:
    content = session.read_bytes()
    with safe_open(session, framework="numpy") as file:
        header = json.loads(file.metadata()["masklet"])
    places = [(key,) for key in header] + [("objects", 0, key) for key in header["objects"][0]]
    for place in places:
        for value in HEADER_VALUES:
            session.write_bytes(content)

            def change(header: dict[str, Any], arrays: Any, place: Any = place, value: Any = value) -> None:
                target: Any = header
                for key in place[:-1]:
                    target = target[key]
                target[place[-1]] = value

            edit(session, change)
            use(session, place, value)


def test_8_a_session_with_any_other_array_is_refused_or_usable(session: Path) -> None:
    content = session.read_bytes()
    with safe_open(session, framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith("2/") or name.endswith("labels")]  # noqa: SIM118
    changes: dict[str, Callable[[Any], Any]] = {
        "empty": lambda array: array[:0],
        "flat": np.ravel,
        "deeper": lambda array: array[None],
        "double": lambda array: np.concatenate([array, array]),
        "bool": lambda array: array != 0,
        "huge": lambda array: np.full(array.shape, 2**62, np.int64),
        "int16": lambda array: array.astype(np.int16),
    }
    for name in names:
        for label, convert in changes.items():
            session.write_bytes(content)
            edit(session, lambda header, arrays: arrays.update({name: convert(arrays[name])}))  # noqa: B023
            use(session, name, label)
        session.write_bytes(content)
        edit(session, lambda header, arrays: arrays.pop(name))  # noqa: B023
        use(session, name, "missing")


def use(session: Path, *where: object) -> None:
    """Read a session and track with it; only errors of masklet may be raised."""
    try:
        tracker = read_session(session, FakeBackend(), CLIP)
        for frame in (4, 5, 2):
            tracker.step(frame)
        tracker.masks(0)
    except MaskletError:
        pass
    except Exception as error:
        raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error


def test_8_a_mask_of_a_session_is_not_larger_than_its_bytes(session: Path) -> None:
    edit(session, lambda header, arrays: header["objects"][1]["prompts"].update({"0": [100_000, 100_000]}))
    with pytest.raises(CheckpointError):
        read_session(session, FakeBackend(), CLIP)
    edit(session, lambda header, arrays: '{"a": ' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(CheckpointError):
        read_session(session, FakeBackend(), CLIP)


def test_8_a_job_drops_a_damaged_state_and_computes_it_again(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert track(frames, tmp_path / "whole") == 0
    with monkeypatch.context() as patch:

        def interrupt() -> None:
            raise KeyboardInterrupt

        after_frame(patch, 4, interrupt)
        assert track(frames, tmp_path / "cut") == 130
    (state,) = (tmp_path / "cut/.masklet").glob("state-*.session")
    content = state.read_bytes()
    for position in range(0, len(content), max(1, len(content) // 8)):
        shutil.copytree(tmp_path / "cut", tmp_path / str(position))
        damaged = bytearray(content)
        damaged[position : position + 20] = bytes(value ^ 0xFF for value in damaged[position : position + 20])
        (tmp_path / str(position) / ".masklet" / state.name).write_bytes(damaged)
        assert track(frames, tmp_path / str(position), "--resume") == 0
        assert read_outputs(tmp_path / str(position)) == read_outputs(tmp_path / "whole")

"""Files are written completely or not at all."""

from __future__ import annotations

import errno
import functools
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from masklet.errors import ResourceError
from masklet.files.atomic import atomic_link, atomic_write
from masklet.files.outputs import atomic_folder
from support.interrupts import interrupt_at


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_failure(number: int):
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_the_file_exists_when_the_block_ends(tmp_path: Path):
    with atomic_write(tmp_path / "new") as handle:
        handle.write(b"content")
    assert (tmp_path / "new").read_bytes() == b"content"
    assert names(tmp_path) == ["new"]


def test_the_file_does_not_exist_before_the_block_ends(tmp_path: Path):
    with atomic_write(tmp_path / "new") as handle:
        handle.write(b"half")
        handle.flush()
        assert not (tmp_path / "new").exists()


def test_a_failing_block_leaves_only_the_old_file(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "file") as handle:
        handle.write(b"new")
        raise KeyboardInterrupt
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def write_file(folder: Path) -> None:
    with atomic_write(folder / "out" / "file") as handle:
        handle.write(b"new")


def link_file(folder: Path) -> None:
    assert atomic_link(folder / "source", folder / "out" / "file")


def make_folder(folder: Path) -> None:
    with atomic_folder(folder / "out" / "new") as part:
        (part / "file").write_bytes(b"new")


@pytest.mark.parametrize("action", [write_file, link_file, make_folder])
def test_an_interrupt_at_any_instruction_leaves_no_partial_file(action: Callable[[Path], None], tmp_path: Path):
    interrupted, step = True, 0
    while interrupted:
        folder, step = tmp_path / str(step), step + 1
        (folder / "out").mkdir(parents=True)
        (folder / "source").write_bytes(b"new")
        (folder / "out" / "file").write_bytes(b"old")
        interrupted = interrupt_at(step, functools.partial(action, folder))
        assert (folder / "out" / "file").read_bytes() in (b"old", b"new")
        assert {*names(folder / "out")} <= {"file", "new"}, step
    assert step > 100


def test_a_link_to_the_file_itself_stays(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"content")
    assert atomic_link(tmp_path / "file", tmp_path / "link") and atomic_link(tmp_path / "file", tmp_path / "link")
    assert (tmp_path / "link").read_bytes() == b"content"
    assert names(tmp_path) == ["file", "link"]


def test_a_killed_process_leaves_the_old_file(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"old")
    script = (
        "import os, pathlib, sys; from masklet.files.atomic import atomic_write\n"
        "with atomic_write(pathlib.Path(sys.argv[1])) as handle: handle.write(b'new'); handle.flush(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script, tmp_path / "file"], check=False).returncode == 9
    assert (tmp_path / "file").read_bytes() == b"old"


def test_other_exceptions_of_the_block_are_not_translated(tmp_path: Path):
    with pytest.raises(ConnectionResetError), atomic_write(tmp_path / "new"):
        raise ConnectionResetError
    assert names(tmp_path) == []


def test_a_handle_that_a_wrapper_has_closed_is_complete(tmp_path: Path):
    with atomic_write(tmp_path / "new") as handle, io.TextIOWrapper(handle) as text:
        text.write("words")
    assert (tmp_path / "new").read_text() == "words"


def test_numpy_can_write_to_the_handle(tmp_path: Path):
    with atomic_write(tmp_path / "new.npy") as handle:
        np.save(handle, np.arange(5))
    assert np.load(tmp_path / "new.npy").tolist() == [0, 1, 2, 3, 4]


def test_a_symbolic_link_is_followed(tmp_path: Path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with atomic_write(tmp_path / "link") as handle:
        handle.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


@pytest.mark.parametrize("path", ["missing/file", "folder", "file/below"])
def test_a_path_that_cannot_be_written_is_refused_before_the_block(tmp_path: Path, path: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ResourceError) as raised, atomic_write(tmp_path / path):
        pytest.fail("the block must not start")
    assert raised.value.code == "output-unwritable"


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no devices here")
def test_a_device_is_not_replaced():
    with pytest.raises(ResourceError, match="not a regular file"), atomic_write(Path("/dev/null")):
        pytest.fail("the block must not start")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EIO, "output-failed"),
        (errno.EROFS, "output-unwritable"),
    ],
)
def test_an_error_at_the_end_has_its_code_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
):
    monkeypatch.setattr(os, "fsync", make_failure(number))
    with pytest.raises(ResourceError) as raised, atomic_write(tmp_path / "new") as handle:
        handle.write(b"bytes")
    assert raised.value.code == code
    assert names(tmp_path) == []


def test_an_error_while_writing_is_translated_and_leaves_the_old_file(tmp_path: Path):
    resource = pytest.importorskip("resource")
    (tmp_path / "file").write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(ResourceError, match="too large") as raised, atomic_write(tmp_path / "file") as handle:
            handle.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.code == "output-failed"
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]

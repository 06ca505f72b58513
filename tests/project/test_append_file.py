"""Append-only file: lines by number, unfinished lines, and errors of the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from masklet.errors import ResourceError
from masklet.project.append_file import AppendFile


def test_lines_are_read_by_number(tmp_path: Path) -> None:
    path = tmp_path / "inner" / "file"
    file = AppendFile(path)
    assert [file.append(b"line %d" % number) for number in range(5)] == [*range(5)]
    for one in (file, AppendFile(path)):
        assert [*one] == [b"line %d" % number for number in range(5)] and one.read(3) == b"line 3"
        assert [*one.read_lines([4, 0])] == [b"line 4", b"line 0"]
        assert [*one.read_blocks(2)] == [(0, b"line 0\nline 1\n"), (2, b"line 2\nline 3\n"), (4, b"line 4\n")]


def test_the_next_line_replaces_an_unfinished_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first\nan unfinished line that is longer than the next one")
    file = AppendFile(path)
    assert len(file) == 1
    file.append(b"next")
    assert path.read_bytes() == b"first\nnext\n"


def test_lines_longer_than_a_block_are_found(tmp_path: Path) -> None:
    lines = [b"a" * (3 << 20), b"", b"b" * ((1 << 20) - 1), b"c"]
    (tmp_path / "file").write_bytes(b"".join(line + b"\n" for line in lines))
    assert [*AppendFile(tmp_path / "file")] == lines


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = AppendFile(tmp_path / "file")
    file.append(b"first")
    write = os.write

    def fill(descriptor: int, data: bytes) -> int:
        if len(data) < 5:
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, data[:4])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill)
        with pytest.raises(ResourceError) as error:
            file.append(b"second")
    assert error.value.code == "disk-full" and (tmp_path / "file").read_bytes() == b"first\n"
    assert file.append(b"third") == 1 and [*file] == [b"first", b"third"]

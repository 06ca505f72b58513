"""A power cut: the files of a folder as they are when writes that were not flushed are lost.

`LostWrites` follows the calls that change files. The data of a file is on the disk once the file was flushed, its name
once its folder was flushed. Whatever was not flushed may be on the disk or not, in any order, and of a file's data a
part may be missing.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from masklet.files import atomic

CHANGES = ("open", "write", "ftruncate", "fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir")
Tree = dict[str, Any]
"""Contents of a folder by name: bytes of a file, or the tree of a folder."""


class _File:
    """A file: its flushed contents."""

    def __init__(self) -> None:
        self.flushed = b""


class _Folder:
    """A folder: its flushed entries by name."""

    def __init__(self) -> None:
        self.flushed: dict[str, _File | _Folder] = {}


class LostWrites:
    """Follows all changes below a folder from now on, without flushing anything.

    Args:
        monkeypatch: Replaces the functions that change files.
        root: The folder.
        on_change: Called before each change.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, on_change: Callable[[], object]) -> None:
        self._root, self._on_change = root, on_change
        self._nodes: dict[int, _File | _Folder] = {}
        self._busy = False
        self._flush_all(root)
        for name in CHANGES:
            monkeypatch.setattr(os, name, self._following(getattr(os, name), name))
        write = atomic._Output.write

        def write_part(file: Any, data: Any) -> int:
            self._report()
            return write(file, data)

        monkeypatch.setattr(atomic._Output, "write", write_part)

    def cut(self, chance: random.Random | None = None) -> Tree:
        """Return what is on the disk after a power cut: only flushed data, or at random also some that was not."""
        self._busy = True
        try:
            root = self._node(self._root.stat())
            assert isinstance(root, _Folder)
            return self._read_folder(root, self._root, chance)
        finally:
            self._busy = False

    def _report(self) -> None:
        if not self._busy:
            self._busy = True
            try:
                self._on_change()
            finally:
                self._busy = False

    def _following(self, working: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return working(*arguments, **more)
            self._report()
            if name in ("unlink", "rmdir"):
                self._forget(arguments[0], more.get("dir_fd"))
            elif name in ("replace", "rename"):
                self._forget(arguments[1], more.get("dst_dir_fd"))
            if name == "fsync":
                return self._flush(arguments[0])
            return working(*arguments, **more)

        return call

    def _node(self, status: os.stat_result) -> _File | _Folder:
        node = self._nodes.get(status.st_ino)
        if node is None:
            node = self._nodes[status.st_ino] = _Folder() if stat.S_ISDIR(status.st_mode) else _File()
        return node

    def _forget(self, path: Any, folder: int | None) -> None:
        """Forget a file whose last name is removed: a new file may get its number."""
        try:
            status = os.stat(path, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
            self._nodes.pop(status.st_ino, None)

    def _flush(self, descriptor: int) -> None:
        node = self._node(os.fstat(descriptor))
        if isinstance(node, _File):
            node.flushed = Path(f"/proc/self/fd/{descriptor}").read_bytes()
        else:
            node.flushed = {name: self._node(os.stat(name, dir_fd=descriptor)) for name in os.listdir(descriptor)}

    def _flush_all(self, folder: Path) -> None:
        node = self._node(folder.stat())
        assert isinstance(node, _Folder)
        for path in folder.iterdir():
            entry = self._node(path.stat())
            node.flushed[path.name] = entry
            if isinstance(entry, _File):
                entry.flushed = path.read_bytes()
            else:
                self._flush_all(path)

    def _read_folder(self, node: _Folder, path: Path | None, chance: random.Random | None) -> Tree:
        """Read a folder; `path` is None if it was removed since."""
        current = {one.name: one for one in path.iterdir()} if path else {}
        entries: dict[str, _File | _Folder] = node.flushed
        if chance and path and chance.random() < 0.5:
            entries = {name: self._node(one.stat()) for name, one in current.items()}
        return {name: self._read(entry, self._find(entry, current), chance) for name, entry in entries.items()}

    def _find(self, node: _File | _Folder, current: dict[str, Path]) -> Path | None:
        """Find the present path of a node in its folder."""
        return next((path for path in current.values() if self._nodes.get(path.stat().st_ino) is node), None)

    def _read(self, node: _File | _Folder, path: Path | None, chance: random.Random | None) -> bytes | Tree:
        if isinstance(node, _Folder):
            return self._read_folder(node, path, chance)
        if chance is None or path is None or chance.random() < 0.5:
            return node.flushed
        now = path.read_bytes()
        same = next((at for at, pair in enumerate(zip(now, node.flushed, strict=False)) if pair[0] != pair[1]),
                    min(len(now), len(node.flushed)))  # fmt: skip
        written = chance.randint(same, len(now))
        return now[:written] + bytes(chance.choice((0, len(now) - written)))


def write_tree(folder: Path, tree: Tree) -> None:
    """Write a tree into a new folder."""
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, dict):
            write_tree(folder / name, content)
        else:
            (folder / name).write_bytes(content)

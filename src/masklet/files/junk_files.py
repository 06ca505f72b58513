"""Files and folders that operating systems, file servers and editors leave in folders of data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

_NAMES = frozenset({
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),  # Windows
    *("__macosx", "icon\r"),  # macOS
    *("@eadir", "#recycle", "@recycle", "@recently-snapshot", "lost+found"),  # file servers, Linux
    "__pycache__",
})  # fmt: skip


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name is not data: hidden, temporary, or made by the system."""
    return name.startswith((".", "~$")) or name.lower() in _NAMES


def skip_junk(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the paths whose names are those of data."""
    return (path for path in paths if not is_junk(path.name))

"""Frames that clients upload one by one before they ask for a track, in folders with names of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException

from masklet.errors import InputNotFound
from masklet.files.image_files import natural_key


@dataclass(slots=True)
class _Folder:
    files: dict[str, bytes] = field(default_factory=dict)
    last_use: float = 0.0

    @property
    def byte_count(self) -> int:
        return sum(map(len, self.files.values()))


class FrameUploads:
    """Uploaded frames in memory, which is used on the server's event loop only.

    Args:
        max_bytes: Budget of all folders. For a new frame, folders without an upload for `idle_s` are dropped.
        max_frames: Most frames of a folder.
        idle_s: Seconds without an upload after which a folder may be dropped.
        now: The clock, in seconds.
    """

    def __init__(
        self, max_bytes: int, max_frames: int, idle_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes, self._max_frames, self._idle_s, self._now = max_bytes, max_frames, idle_s, now
        self._folders: dict[str, _Folder] = {}

    def add(self, folder: str, name: str, content: bytes) -> None:
        """Keep a frame. One with the same name is replaced.

        Raises:
            HTTPException: 413. The folders would exceed the budget, or the folder has too many frames.
        """
        self._drop_idle()
        known = self._folders.get(folder, _Folder())
        replaced = len(known.files.get(name, b""))
        total = sum(one.byte_count for one in self._folders.values()) - replaced + len(content)
        if total > self._max_bytes:
            raise HTTPException(
                413, f"uploaded frames exceed {self._max_bytes} bytes; ask for the track, or send fewer"
            )
        if name not in known.files and len(known.files) >= self._max_frames:
            raise HTTPException(413, f"a video has at most {self._max_frames} frames")
        known.files[name], known.last_use = content, self._now()
        self._folders[folder] = known

    def take(self, folder: str) -> list[bytes]:
        """Return the frames of a folder in the natural order of their names, and forget them.

        Raises:
            InputNotFound: `input-not-found`. Nothing was uploaded to the folder.
        """
        known = self._folders.pop(folder, None)
        if known is None:
            raise InputNotFound("input-not-found", f"no frames were uploaded to {folder[:100]!r}; upload them first")
        return [known.files[name] for name in sorted(known.files, key=natural_key)]

    def _drop_idle(self) -> None:
        deadline = self._now() - self._idle_s
        for name in [name for name, folder in self._folders.items() if folder.last_use < deadline]:
            del self._folders[name]

"""Images and videos of tasks, which are read once and kept for a time."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from masklet.errors import FormatError, InputNotFound, MaskletError
from masklet.files.error_translation import translate_write_errors
from masklet.files.json_fields import Fields
from masklet.serve.image_store import ServedImage, decode_base64
from masklet.serve.protocols.label_studio.access import LabelStudioAccess
from masklet.serve.protocols.label_studio.label_config import Media
from masklet.serve.service import Service
from masklet.video import Video

MAX_VIDEOS = 8
VIDEO_LIFETIME_S = 1800.0  # after the last request
_IMAGE_LIFETIME_S = 600.0  # after which an address is read again
_MAX_ADDRESSES = 4096


class _Address(NamedTuple):
    """An image that was read, and when."""

    key: str
    read_time: float


class TaskVideo:
    """A video of a task.

    Attributes:
        keys: Keys of the frames that were read as images, by number.
        video: The video.
        fps: Frames per second; 0 if the video states no times.
        uses: Number of requests and tracks that read it.
        last_use: `time.monotonic()` of the last one.
    """

    def __init__(self, video: Video, path: Path | None) -> None:
        self.video, self._path, self.keys = video, path, dict[int, str]()
        self.uses, self.last_use = 0, time.monotonic()
        times = [time for time in video.times if time is not None]
        span = times[-1] - times[0] if len(times) > 1 else 0.0
        self.fps = (len(times) - 1) / span if span > 0 else 0.0

    @property
    def duration_s(self) -> float:
        """Duration in seconds; 0 if the video states no times."""
        return len(self.video) / self.fps if self.fps else 0.0

    def close(self) -> None:
        """Close the video and remove its file."""
        self.video.close()
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


class TaskMedia:
    """Images and videos of tasks, within limits.

    Args:
        service: The service.
        access: Access to Label Studio.
        now: The clock, in seconds.
    """

    def __init__(self, service: Service, access: LabelStudioAccess, now: Callable[[], float] = time.monotonic) -> None:
        self._service, self._access, self._now = service, access, now
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._videos: OrderedDict[str, TaskVideo] = OrderedDict()
        self._loading: dict[str, asyncio.Lock] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="masklet-videos-", ignore_cleanup_errors=True)

    async def read_image(self, task: Fields, media: Media) -> ServedImage:
        """Return the image of a task.

        Raises:
            FormatError: `annotation-broken`. The task has no such field.
            MaskletError: It cannot be read, see `LabelStudioAccess.read` and `Service.read_image`.
        """
        address = _find_address(task, media)
        if address.startswith("data:"):
            return await self._service.read_image(address)
        known = self._addresses.get(address)
        if known is not None and known.read_time > self._now() - _IMAGE_LIFETIME_S:
            with suppress(InputNotFound):
                return self._service.find_image(known.key)
        image = await self._service.read_image(await self._access.read(address, _read_task_id(task)))
        self._addresses[address] = _Address(image.key, self._now())
        self._addresses.move_to_end(address)
        while len(self._addresses) > _MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        return image

    @asynccontextmanager
    async def open_video(self, task: Fields, media: Media) -> AsyncIterator[TaskVideo]:
        """Open the video of a task for the time of a block.

        Raises:
            FormatError: `annotation-broken`. The task has no such field.
            MaskletError: It cannot be read, see `LabelStudioAccess.read` and `Service.open_upload`.
        """
        address = _find_address(task, media)
        key = _make_video_key(task, address)
        async with self._loading.setdefault(key, asyncio.Lock()):
            if key not in self._videos:
                self._close_unused(MAX_VIDEOS - 1)
                self._videos[key] = await self._load(address, _read_task_id(task))
        found = self._videos[key]
        self._videos.move_to_end(key)
        found.uses += 1
        try:
            yield found
        finally:
            found.uses -= 1
            found.last_use = self._now()
            self._close_unused(MAX_VIDEOS)

    def release(self, task: Fields, media: Media) -> None:
        """Close the video of a task, unless a track reads it."""
        key = _make_video_key(task, _find_address(task, media))
        if key in self._videos and not self._videos[key].uses:
            self._forget(key)

    async def read_frame(self, video: TaskVideo, index: int) -> ServedImage:
        """Return a frame of a video as an image, whose embedding is kept as that of an image."""
        known = self.find_frame(video, index)
        if known is not None:
            return known
        image = await self._service.run_in_thread(lambda: self._service.images.add(video.video[index]))
        video.keys[index] = image.key
        return image

    def find_frame(self, video: TaskVideo, index: int) -> ServedImage | None:
        """Return a frame that is decoded already, or None."""
        with suppress(InputNotFound):
            return self._service.find_image(video.keys.get(index, ""))
        return None

    async def _load(self, address: str, task_id: str) -> TaskVideo:
        if address.startswith("data:"):
            content = await self._service.run_in_thread(decode_base64, address)
        elif "://" in address or address.startswith("/"):
            content = await self._access.read(address, task_id)
        else:
            video = await self._service.open_path(address)
            return await self._service.run_in_thread(TaskVideo, video, None)
        path = await self._service.run_in_thread(self._write, content)
        try:
            video = await self._service.open_upload(path)
            return await self._service.run_in_thread(TaskVideo, video, path)
        except MaskletError:
            path.unlink(missing_ok=True)
            raise

    def _write(self, content: bytes) -> Path:
        """Write a video to a file of its own. The folder is removed when the process ends."""
        folder = Path(self._folder.name)
        with translate_write_errors(folder), tempfile.NamedTemporaryFile(dir=folder, delete=False) as handle:
            handle.write(content)
        return Path(handle.name)

    def _close_unused(self, count: int) -> None:
        """Close videos that were not read for long, and the least recently read ones beyond a number."""
        deadline = self._now() - VIDEO_LIFETIME_S
        for key, video in [*self._videos.items()]:
            if not video.uses and (video.last_use < deadline or len(self._videos) > count):
                self._forget(key)

    def _forget(self, key: str) -> None:
        self._videos.pop(key).close()
        self._loading.pop(key, None)


def _find_address(task: Fields, media: Media) -> str:
    """Return the address in a task's data that an image or a video of the label configuration names."""
    data = task.object("data")
    if media.field in data:
        return data.text(media.field)
    if media.name in data:
        return data.text(media.name)
    names = ", ".join(sorted(data.names)[:10]) or "none"
    message = f"the data of the task has no field {media.field!r} for the {media.tag.lower()} {media.name!r}"
    raise FormatError("annotation-broken", f"{message}; its fields are {names}")


def _read_task_id(task: Fields) -> str:
    """Return the id of a task as text; "" if it has none."""
    return str(task.identifier("id")) if "id" in task else ""


def _make_video_key(task: Fields, address: str) -> str:
    """Return the name of a task's video in caches."""
    return hashlib.sha256(f"{_read_task_id(task)} {address}".encode("utf-8", "surrogatepass")).hexdigest()[:32]

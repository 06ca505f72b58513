"""Video sessions: trackers of clients, which end after a time without requests."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from masklet.errors import PromptError, SettingsError, StateError
from masklet.masks.masks import Masks
from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import Prompt, Prompts, group_by_object
from masklet.segmenter import Segmenter
from masklet.serve.limits import Limits
from masklet.serve.model_thread import ModelThread
from masklet.tracking.propagate import propagate
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import Direction, VisitedFrame, check_direction
from masklet.video import Video

R = TypeVar("R")


class VideoSession:
    """A tracker of one client, with a video or a stream of frames.

    Args:
        thread: The thread of the model.
        tracker: The tracker.
        video: The video, which is closed with the session; None for a stream, whose frames are passed with `prompt` and
            `step`.
        limits: Limits of the server.
        on_release: Called when the session has ended and its video is closed.

    Attributes:
        id: Name of the session, which nobody can guess.
        last_use: `time.monotonic()` of the last request.
        is_closed: Whether the session has ended.
        data: For the protocol that made the session.
    """

    def __init__(
        self,
        thread: ModelThread,
        tracker: Tracker,
        video: Video | None,
        limits: Limits,
        on_release: Callable[[], object],
    ) -> None:
        self.id, self.video, self.data = secrets.token_urlsafe(16), video, dict[str, Any]()
        self.last_use, self.is_closed = time.monotonic(), False
        self._thread, self._tracker, self._limits = thread, tracker, limits
        self._on_release = on_release
        self._uses, self._is_propagating, self._is_cancelled = 0, False, False

    @property
    def is_idle(self) -> bool:
        """Whether no request of the session runs."""
        return self._uses == 0

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects, in the order in which they were first prompted."""
        return self._tracker.object_ids

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) of the frames; None for a stream before its first frame."""
        return self._tracker.size if self.video is None else self.video.size

    async def list_prompts(self) -> dict[int, dict[int, Prompt]]:
        """Return the prompts, `{frame: {object_id: prompt}}`."""

        def collect(model: Segmenter) -> dict[int, dict[int, Prompt]]:
            found: dict[int, dict[int, Prompt]] = {}
            for key, track in self._tracker.tracks.items():
                for frame, prompt in track.prompts.items():
                    found.setdefault(frame, {})[key] = prompt
            return found

        return await self._run(collect)

    async def prompt(self, frame: int, prompts: Prompts, image: NDArray[np.uint8] | None = None) -> Masks:
        """Prompt or correct objects on a frame, and return the masks of all objects there.

        Args:
            frame: Number of the frame.
            prompts: See `Tracker.prompt`.
            image: Image of the frame (H, W, 3) uint8 RGB, of a stream.

        Raises:
            PromptError: See `Tracker.prompt`; or there would be more objects than the limit.
            StateError: `session-gone` or `overloaded`.
        """
        by_object = group_by_object(prompts)
        self._check_frame(frame)
        count = len({*self.object_ids, *by_object})
        if count > self._limits.objects:
            message = f"a session has at most {self._limits.objects} objects, this prompt would make it {count}"
            raise PromptError("bad-prompt", message)
        return await self._run(lambda model: self._tracker.prompt(frame, by_object, image))

    async def step(self, frame: int, image: NDArray[np.uint8] | None = None, *, direction: int = 1) -> Masks:
        """Track all objects to a frame, and return their masks. See `Tracker.step`."""
        self._check_frame(frame)
        return await self._run(lambda model: self._tracker.step(frame, image, direction=direction))

    async def masks(self, frame: int) -> Masks:
        """Return the masks of all objects on a frame; an object without a result there has an empty one."""
        self._check_frame(frame)
        return await self._run(lambda model: self._tracker.masks(frame))

    async def remove_object(self, object_id: int) -> None:
        """Remove an object. Raises `PromptError` (`unknown-object`)."""
        await self._run(lambda model: self._tracker.remove_object(object_id))

    async def remove_prompt(self, frame: int, object_id: int) -> None:
        """Remove the prompt of an object on a frame. Raises `PromptError` (`unknown-object`, `unknown-frame`)."""
        await self._run(lambda model: self._tracker.remove_prompt(frame, object_id))

    async def propagate(
        self, *, start: int | None = None, stop: int | None = None, direction: Direction = "forward"
    ) -> AsyncGenerator[TrackedFrame, None]:
        """Track all objects through the frames of a range, and yield each frame when it is tracked.

        The next frame is computed while the consumer handles one; a consumer that is slow delays nobody else.

        Args:
            start: First frame of the range; by default 0.
            stop: End of the range; by default the end of the video.
            direction: "forward" from the first prompted frame, or from `start` if that comes later; "backward" from the
                last one, or from `stop` if that comes earlier; or "both" ways from the first one.

        Raises:
            StateError: `no-prompts`, `tracker-busy` if a propagation of the session runs, `session-gone`, `overloaded`.
            SettingsError: `bad-usage`. The range has no frames that can be tracked, or the direction is unknown.
        """
        video = self._require_video()
        check_direction(direction)
        if self._is_propagating:
            raise StateError("tracker-busy", "the session is tracked already; cancel that, or wait for its end")

        def track(model: Segmenter) -> Any:
            prompted = {frame for one in self._tracker.tracks.values() for frame in one.prompts}
            spans = _plan(len(video), prompted, start, stop, direction)
            return propagate(self._tracker, _visit(video, spans), stop=lambda: self._is_cancelled)

        self._is_propagating, self._is_cancelled = True, False
        try:
            with self._use(), self._thread.admit():
                async with aclosing(self._thread.iterate(track)) as frames:
                    async for frame in frames:
                        self.last_use = time.monotonic()
                        yield frame
        finally:
            self._is_propagating = False

    def cancel(self) -> bool:
        """End the propagation that runs after its next frame, and return whether one runs."""
        self._is_cancelled = True
        return self._is_propagating

    def close(self) -> None:
        """End the session and release its video. A propagation that runs ends after its next frame."""
        if not self.is_closed:
            self._is_cancelled = self.is_closed = True
            self._release_if_unused()

    async def _run(self, work: Callable[[Segmenter], R]) -> R:
        with self._use(), self._thread.admit():
            return await self._thread.call(work)

    @contextmanager
    def _use(self) -> Iterator[None]:
        """Keep the session for the time of a block. Raises `StateError` (`session-gone`)."""
        if self.is_closed:
            raise _make_end_error(self.id)
        self._uses += 1
        self.last_use = time.monotonic()
        try:
            yield
        finally:
            self._uses -= 1
            self.last_use = time.monotonic()
            self._release_if_unused()

    def _release_if_unused(self) -> None:
        if not self.is_closed or self._uses:
            return
        if self.video is not None:
            self.video.close()
        self._on_release()

    def _require_video(self) -> Video:
        if self.video is None:
            raise StateError("frame-missing", "the session has no video; pass its frames one by one")
        return self.video

    def _check_frame(self, frame: int) -> None:
        if self.is_closed:
            raise _make_end_error(self.id)
        if self.video is not None and not 0 <= frame < len(self.video):
            message = f"the video has no frame {frame}; there are {len(self.video)} frames"
            raise PromptError("unknown-frame", message)


class Sessions:
    """The video sessions of a server, by id. It is used on the server's event loop only.

    Args:
        thread: The thread of the model.
        limits: Limits of the server.
        now: The clock, in seconds.
    """

    def __init__(self, thread: ModelThread, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._thread, self._limits, self._now = thread, limits, now
        self._sessions: dict[str, VideoSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    async def create(
        self,
        video: Video | None = None,
        *,
        postprocessing: PostProcessing = NO_POSTPROCESSING,
        on_release: Callable[[], object] = lambda: None,
    ) -> VideoSession:
        """Create a session.

        Args:
            video: The video, which the session closes, also if it cannot be created; None for a stream.
            postprocessing: See `Segmenter.tracker`.
            on_release: Called when the session has ended and its video is closed, for instance to remove a file.

        Raises:
            StateError: `overloaded`. There are as many sessions as the limit allows, and none is idle for too long.
        """
        try:
            self.close_idle()
            if len(self._sessions) >= self._limits.sessions:
                message = f"{len(self._sessions)} video sessions are open; delete one, or repeat the request later"
                raise StateError("overloaded", message)
            with self._thread.admit():
                tracker = await self._thread.call(lambda model: model.tracker(video, postprocessing=postprocessing))
        except BaseException:
            if video is not None:
                video.close()
            on_release()
            raise
        session = VideoSession(self._thread, tracker, video, self._limits, on_release)
        self._sessions[session.id] = session
        return session

    def get(self, session_id: str) -> VideoSession:
        """Return a session. Raises `StateError` (`session-gone`) if it has ended or never existed."""
        self.close_idle()
        session = self._sessions.get(session_id)
        if session is None:
            raise _make_end_error(session_id)
        return session

    def delete(self, session_id: str) -> None:
        """End a session. Raises `StateError` (`session-gone`)."""
        self.get(session_id).close()
        del self._sessions[session_id]

    def close_idle(self) -> None:
        """End the sessions without a request for too long."""
        deadline = self._now() - self._limits.session_idle_s
        for key, session in [*self._sessions.items()]:
            if session.is_idle and session.last_use < deadline:
                session.close()
                del self._sessions[key]

    def close(self) -> None:
        """End all sessions."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()


def _make_end_error(session_id: str) -> StateError:
    message = f"there is no video session {session_id[:100]!r}, or it ended after a time without requests"
    return StateError("session-gone", f"{message}; create a new one")


def _plan(
    length: int, prompted: set[int], start: int | None, stop: int | None, direction: Direction
) -> list[tuple[range, int]]:
    """Return the frames to track in order, each range with the direction of tracking.

    Raises:
        StateError: `no-prompts`.
        SettingsError: `bad-usage`. There are none.
    """
    if not prompted:
        raise StateError("no-prompts", "nothing to track; prompt an object with a point, a box or a mask first")
    low, high = start or 0, length if stop is None else min(stop, length)
    first, last = max(low, min(prompted)), min(high - 1, max(prompted))
    forward, backward = (range(first, high), 1), (range(last, low - 1, -1), -1)
    spans = {"forward": [forward], "backward": [backward], "both": [forward, (range(first - 1, low - 1, -1), -1)]}
    found = [span for span in spans[direction] if span[0]]
    if low < 0 or not found:
        message = f"no frames to track {direction}: start {low}, stop {high}, prompts on {sorted(prompted)[:8]}"
        raise SettingsError("bad-usage", message)
    return found


def _visit(video: Video, spans: list[tuple[range, int]]) -> Iterator[VisitedFrame]:
    """Visit frames, each with its number in the video as its number in the tracker."""
    for frames, direction in spans:
        for frame in video.frames(frames):
            yield VisitedFrame(frame.index, direction, frame.index, frame.time, video.size, frame)

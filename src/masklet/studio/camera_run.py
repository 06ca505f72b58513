"""Camera of a studio: frames with tracked objects on its own page, and recordings that become videos of the project."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masklet.errors import MaskletError, VideoError
from masklet.files.atomic import make_folder
from masklet.http.problems import log_bug
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.project.media import add_media
from masklet.project.project import Project
from masklet.segmenter import Segmenter
from masklet.studio.live import LiveCommands
from masklet.studio.live_prompts import ShownImages
from masklet.studio.live_tracking import LiveTracking
from masklet.studio.recording import Recording
from masklet.video import Frame
from masklet.video.cameras import Camera

FOLDER = "recordings"
_RATE_DECAY = 0.9  # weight of the earlier frames in the moving average of the frame rate
_JOIN_TIMEOUT_S = 5.0

RunWithModel = Callable[[Callable[[Segmenter], TrackedFrame]], TrackedFrame]


class CameraRun:
    """Thread that shows a camera until it is closed, stopped by a user, or the camera is lost.

    Args:
        camera: The camera.
        project: The project to which recordings are added.
        run_with_model: Runs a function with the model in the thread of the inference engine.

    Attributes:
        page: The commands of the camera's page.
    """

    def __init__(self, camera: Camera, project: Project, run_with_model: RunWithModel) -> None:
        self.page = LiveCommands(camera.name, camera.size, {}, can_record=True)
        self._camera, self._project, self._run_with_model = camera, project, run_with_model
        self._images = ShownImages()
        self._tracking: LiveTracking | None = None
        self._recording: Recording | None = None
        self._frames, self._rate, self._last = 0, 0.0, time.monotonic()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="masklet-camera")
        self._thread.start()

    def close(self) -> None:
        """End the thread. A recording is saved."""
        self._is_closed.set()
        self._thread.join(_JOIN_TIMEOUT_S)
        self._camera.close()

    def _run(self) -> None:
        error: MaskletError | None = None
        try:
            for frame in self._camera:
                if self._is_closed.is_set() or self.page.is_stopped:
                    break
                self._show(frame)
        except MaskletError as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001 - reported on the page and logged
            error = log_bug(caught)
        self._stop_recording()
        self.page.finish(error, is_saved=False)

    def _show(self, frame: Frame) -> None:
        masks = self._track(frame)
        self._record(frame)
        now = time.monotonic()
        rate, self._last = 1 / max(now - self._last, 1e-6), now
        self._rate = _RATE_DECAY * self._rate + (1 - _RATE_DECAY) * rate if self._frames else rate
        self._frames += 1
        recording = str(self._recording.path) if self._recording else None
        status: dict[str, Any] = {"frames": self._frames, "rate": round(self._rate, 2), "dropped": self._camera.dropped}
        self.page.show(frame.index, frame.image, masks, {**status, "recording": recording})

    def _track(self, frame: Frame) -> Masks:
        """Return the masks of a frame. The model is used only where there are objects."""
        has_objects = self._tracking is not None and bool(self._tracking.tracker.tracks)
        if not has_objects and not self.page.has_actions:
            self._images.add(frame.index, frame.image, self.page.held_frames)
            return Masks.empty(self._camera.size)
        try:
            return self._run_with_model(lambda model: self._use_model(model).track(frame)).masks
        except MaskletError as error:
            self.page.take_actions()
            self._tracking = None
            self.page.report(error)
            return Masks.empty(self._camera.size)

    def _use_model(self, model: Segmenter) -> LiveTracking:
        if self._tracking is None:
            self._tracking = LiveTracking(model.tracker(), self.page, self._images)
        return self._tracking

    def _record(self, frame: Frame) -> None:
        """Write a frame to the recording, which users start and stop."""
        if not self.page.is_recording:
            self._stop_recording()
            return
        try:
            if self._recording is None:
                self._recording = Recording(self._make_path(), self._camera.size)
            self._recording.add(frame.image, frame.time or 0.0)
        except MaskletError as error:
            self.page.is_recording = False
            self.page.report(error)

    def _stop_recording(self) -> None:
        """Finish the recording, and add it to the project."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        try:
            recording.close()
            result = add_media(self._project, [recording.path])
            if not result.added:
                raise VideoError("video-no-frames", f"{recording.path} has no frames; record it again")
            self.page.clients.broadcast({"event": "recorded", "path": str(recording.path), "medium": result.added[0]})
        except MaskletError as error:
            self.page.report(error)

    def _make_path(self) -> Path:
        folder = self._project.folder / FOLDER
        make_folder(folder)
        name = re.sub(r"[^A-Za-z0-9]+", "-", self._camera.name).strip("-")
        stem = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name[:60]}"
        paths = (folder / f"{stem}{'' if number == 1 else f'_{number}'}.mp4" for number in range(1, 1000))
        return next(path for path in paths if not path.exists())

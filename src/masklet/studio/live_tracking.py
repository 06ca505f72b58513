"""Tracking of a live video with the prompts of its page."""

from __future__ import annotations

from collections.abc import Container

from masklet.errors import PromptError
from masklet.masks.tracked_frame import TrackedFrame
from masklet.studio.live import LiveCommands
from masklet.studio.live_prompts import LivePrompt, ShownImages, apply_prompt
from masklet.tracking.propagate import propagate
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import VisitedFrame, visit_in_order
from masklet.video import Frame


class LiveTracking:
    """Hooks of `propagate` for a live video.

    Args:
        tracker: The tracker.
        page: The page, whose prompts and removals are applied.
        images: The images of the frames that were shown.
    """

    def __init__(self, tracker: Tracker, page: LiveCommands, images: ShownImages | None = None) -> None:
        self.tracker = tracker
        self._page, self._images = page, images or ShownImages()

    def take_actions(self, index: int, frame: Frame) -> None:
        """Prompt and remove objects as the users of the page did since the last frame; `before` of `propagate`."""
        for action in self._page.take_actions():
            try:
                if isinstance(action, LivePrompt):
                    masks = apply_prompt(self.tracker, action, self._images.get(action.frame))
                    self._page.show_prompted(action.frame, masks)
                else:
                    self.tracker.remove_object(action.object_id)
            except PromptError as error:  # a wrong click must not end the session
                self._page.report(error)
        self._images.add(index, frame.image, self._page.held_frames)

    def list_needed(self, visit: VisitedFrame) -> Container[int]:
        """Return the frames that corrections may need although no later frame recalls them; `needed` of `propagate`."""
        return self._page.held_frames

    def track(self, frame: Frame) -> TrackedFrame:
        """Apply the actions, and track the objects to a frame."""
        visits = visit_in_order([frame])
        return next(propagate(self.tracker, visits, before=self.take_actions, needed=self.list_needed))

"""Workspace of a studio: the project and what predicts, tracks, shows and exports it, shared by all commands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masklet.errors import FormatError, MaskletError, PromptError
from masklet.files.error_translation import translate_errors
from masklet.http.engine import Engine
from masklet.project.classes_of_labels import make_color
from masklet.project.document import Document
from masklet.project.entries import ProjectObject, class_key, object_key, parse_entry
from masklet.project.project import Project
from masklet.studio.displayed_masks import DisplayedMasks
from masklet.studio.embeddings import Embeddings
from masklet.studio.exports import Exports
from masklet.studio.predictions import Predictions
from masklet.studio.proposals import Proposals
from masklet.studio.text_prompts import TextPrompts
from masklet.studio.tracking_runs import TrackingRuns
from masklet.studio.updates import Updates

MAX_CELLS = 1_000_000
"""Cells that one command changes, at most."""


@dataclass(frozen=True)
class Workspace:
    """What the commands of a studio share.

    Attributes:
        project: The project.
        folders: The opened folders.
        model_name: Name of the model.
        engine: The inference engine.
        masks: Masks as they are displayed.
        updates: What the clients show, and what they are sent.
        predictions: Masks of prompts.
        proposals: Masks of the mask generator.
        runs: Tracking runs.
        exports: Exports.
        text_prompts: Detector of objects that a text names, or None.
        cameras: Names of the cameras, in the order of their pages.
    """

    project: Project
    folders: tuple[Path, ...]
    model_name: str
    engine: Engine[Embeddings]
    masks: DisplayedMasks
    updates: Updates
    predictions: Predictions
    proposals: Proposals
    runs: TrackingRuns
    exports: Exports
    text_prompts: TextPrompts | None = None
    cameras: list[str] = field(default_factory=list)

    @property
    def document(self) -> Document:
        """Entries and cells of the project."""
        return self.project.document

    def check_frame(self, medium: int, frame: int) -> None:
        """Raise `PromptError` unless there is such a medium with such a frame."""
        frames = self.document.medium(medium).frames
        if frame >= frames:
            raise PromptError("unknown-frame", f"medium {medium} has no frame {frame}, only 0 to {frames - 1}")

    def check_range(self, medium: int, start: int, stop: int) -> range:
        """Return a range of frames, cut off at the end of the video.

        Raises:
            PromptError: The range has no frames.
        """
        frames = range(start, min(stop, self.document.medium(medium).frames))
        if not frames:
            message = f"medium {medium} has no frames from {start} to before {stop}"
            raise PromptError("unknown-frame", message)
        return frames

    def check_unlocked(self, medium: int, object_id: int) -> None:
        """Raise `PromptError` unless there is such an object that is not locked."""
        if self.document.object_of(medium, object_id).locked:
            raise PromptError("bad-prompt", f"object {object_id} is locked; unlock it to change it")

    def select_unlocked(self, medium: int, objects: Iterable[int]) -> list[int]:
        """Return those of several objects that are not locked.

        Raises:
            PromptError: An object is unknown, or all of them are locked.
        """
        selected = list(dict.fromkeys(objects))
        unlocked = [object_id for object_id in selected if not self.document.object_of(medium, object_id).locked]
        if selected and not unlocked:
            self.check_unlocked(medium, selected[0])
        return unlocked

    def check_class(self, class_id: int | None) -> None:
        """Raise `PromptError` for a class that does not exist. None is no class."""
        if class_id is not None and class_id not in self.document.classes():
            raise PromptError("unknown-object", f"the project has no class {class_id}")

    def make_object(
        self, medium: int, class_id: int | None, position: int = 0, new: Collection[str] = ()
    ) -> tuple[int, dict[str, Any]]:
        """Return the number of a new object, and its entry by key. The caller holds the project.

        Args:
            medium: The image or video.
            class_id: Its class, or None.
            position: Its position among several new objects.
            new: Keys of classes that are added with it.

        Raises:
            PromptError: There is no such image or video, or no such class.
        """
        self.document.medium(medium)
        if class_id is None or class_key(class_id) not in new:
            self.check_class(class_id)
        number = self.document.new_object(medium) + position
        entry = ProjectObject("", class_id, make_color(number))
        return number, {object_key(medium, number): entry.to_json()}


def check_entry(key: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry that a client stated. Raises `MaskletError` (`bad-request`) if a field is invalid."""
    with translate_errors(FormatError, into=lambda error: MaskletError("bad-request", error.message)):
        parse_entry(key, entry)
    return entry

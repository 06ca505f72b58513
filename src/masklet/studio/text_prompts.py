"""Text prompts of the studio: a detector that is loaded when a text is first given."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from masklet.detectors.detections import Detector, TextDetector, min_score_of
from masklet.detectors.load import make_detector


class TextPrompts:
    """Makes detectors of classes. Only the thread of the inference engine calls its methods.

    Args:
        name: Name of the detector, for the page and messages.
        load: Loads what makes detectors. If it fails, it is called again for the next text.
        min_score: Score from which a detection is proposed. By default that of the detector.
    """

    def __init__(self, name: str, load: Callable[[], TextDetector], min_score: float | None = None) -> None:
        self.name, self._load, self._min_score = name, load, min_score

    def make(self, classes: tuple[str, ...]) -> Detector:
        """Return a detector of classes. Raises `MaskletError`."""
        return make_detector(self._loaded, classes, self.name)

    def min_score_of(self, detector: Detector) -> float:
        """Return the score from which a detection is proposed."""
        return min_score_of(detector) if self._min_score is None else self._min_score

    @cached_property
    def _loaded(self) -> TextDetector:
        return self._load()

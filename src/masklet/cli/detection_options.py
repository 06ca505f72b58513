"""Detection options: the classes to find, and the detector that finds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.errors import SettingsError

if TYPE_CHECKING:
    from masklet.detectors.detections import Detector
    from masklet.tracking.auto_tracker import AutoTrackOptions

_PANEL = "Detection"
_DETECTORS = "a folder with a model of transformers, owner/name of the Hugging Face Hub, or MODULE:NAME of Python"
_TORCH_DEVICES = ("cpu", "cuda", "mps", "xpu")


def _option(metavar: str, text: str, **more: Any) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel=_PANEL, **more)


DetectorName = Annotated[
    str | None, _option("FOLDER|OWNER/NAME|MODULE:NAME", f"The detector: {_DETECTORS}; see docs.", show_default=False)
]


DetectScore = Annotated[
    float | None,
    _option(
        "S",
        "Lowest score of the detector for an object, from 0 to 1.",
        show_default="0.1 for OWL, 0.25 for Grounding DINO",
    ),
]


@dataclass(eq=False, repr=False)
class DetectionOptions:
    """The classes to find in place of prompts, and the detector. None stands for the default."""

    detect: Annotated[
        str | None, _option("TEXT", 'Find objects of these classes, separated by commas, such as "cat, dog".')
    ] = None
    detector: DetectorName = None
    detect_score: DetectScore = None

    def check(self) -> bool:
        """Return whether objects are detected.

        Raises:
            SettingsError: `bad-usage`. An option needs another one, or is out of range.
            PromptError: The text names no class.
        """
        from masklet.detectors.classes import parse_classes

        if self.detect is None:
            for name in self._list_names():
                if getattr(self, name) is not None:
                    raise SettingsError("bad-usage", f"--{name.replace('_', '-')} needs --detect TEXT")
            return False
        parse_classes(self.detect)
        if self.detector is None:
            raise SettingsError("bad-usage", f"--detect needs --detector: {_DETECTORS}")
        check_detect_score(self.detect_score)
        return True

    def load(self, device: str | None) -> Detector:
        """Load the detector of the classes, after `check`.

        Args:
            device: Device of the segmentation model. The detector runs on it, or on the CPU if PyTorch has no such one.

        Raises:
            MaskletError: See `load_detector`.
        """
        from masklet.detectors.load import load_detector

        assert self.detect is not None and self.detector is not None, "the options are checked"
        return load_detector(
            self.detector, self.detect, min_score=self.detect_score, device=select_detector_device(device)
        )

    def _list_names(self) -> list[str]:
        return [name for name in self.__dataclass_fields__ if name != "detect"]


@dataclass(eq=False, repr=False)
class VideoDetectionOptions(DetectionOptions):
    """The classes to find in a video, how often, and when objects are dropped."""

    detect_every: Annotated[int | None, _option("N", "Run the detector every N frames.", min=1, show_default="15")] = (
        None
    )
    detect_misses: Annotated[
        int | None,
        _option("N", "Drop a visible object that the detector does not find N times in a row. Default: never.", min=1),
    ] = None
    patience: Annotated[
        int | None, _option("N", "Drop an object after N frames without a mask.", min=1, show_default="30")
    ] = None
    most: Annotated[
        int | None, _option("N", "Largest number of objects tracked at the same time.", min=1, show_default="64")
    ] = None

    def build(self, device: str | None) -> AutoTrackOptions:
        """Load the detector, and return the options of automatic tracking. Raises `MaskletError`."""
        from masklet.tracking.auto_tracker import AutoTrackOptions

        values: dict[str, Any] = {
            "every": self.detect_every,
            "patience": self.patience,
            "max_objects": self.most,
            "min_score": self.detect_score,
            "max_misses": self.detect_misses,
        }
        given = {name: value for name, value in values.items() if value is not None}
        return AutoTrackOptions(detector=self.load(device), **given)


def check_detect_score(score: float | None) -> None:
    """Raise `SettingsError` unless a score is above 0 and at most 1, or None."""
    if score is not None and not 0 < score <= 1:
        raise SettingsError("bad-usage", f"--detect-score must be above 0 and at most 1, got {score:g}")


def select_detector_device(device: str | None) -> str | None:
    """Return the device of a detector for that of a segmentation model: the same, or the CPU. None stays None."""
    return device if device is None or device.partition(":")[0] in _TORCH_DEVICES else "cpu"

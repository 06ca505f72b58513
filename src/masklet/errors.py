"""What can go wrong, as one tree of exceptions, each with a code that never changes.

    MaskletError
    ├── InputNotFound     (FileNotFoundError)  a file is missing or cannot be read
    ├── ImageError        (ValueError)         a picture is not what it should be
    ├── VideoError        (ValueError)         a video is not what it should be
    ├── PromptError       (ValueError)         a point, a box, a mask, a frame or an object that cannot be
    ├── FormatError       (ValueError)         an annotation file, a data set or a run-length code
    ├── CheckpointError   (ValueError)         weights that are wrong, broken or dangerous
    ├── BackendError      (RuntimeError)       the runtime is missing, or its answer is not finite
    ├── ResourceError     (OSError)            memory, disk, device, network, camera
    ├── StateError        (RuntimeError)       the right call at the wrong time
    └── SettingsError     (ValueError)         an option that does not exist or does not fit

A message says what is wrong, the value, and what to do; `hint` is a second line for the command line.
`EXIT_STATUS` gives every code its exit status (sysexits where one fits; 1 is never used on purpose).
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

EXIT_STATUS: dict[str, int] = {
    # files
    "input-not-found": 66,
    "input-unreadable": 66,
    "input-empty": 65,
    # pictures
    "unsupported-format": 65,
    "image-broken": 65,
    "image-truncated": 65,
    "too-many-pixels": 65,
    "bad-dimensions": 65,
    "bad-image": 65,
    "float-needs-range": 65,
    # prompts and masks
    "bad-prompt": 65,
    "mask-shape": 65,
    "unknown-frame": 65,
    "unknown-object": 65,
    "no-prompts": 2,
    "frame-missing": 65,
    "resume-mismatch": 78,
    "job-locked": 75,
    "session-broken": 65,
    "bad-rle": 65,
    "annotation-broken": 65,
    # video
    "reference-file-refused": 77,
    "no-video-stream": 65,
    "video-no-frames": 65,
    "video-truncated": 65,
    "resolution-changed": 65,
    "frame-corrupt": 65,
    "frames-inconsistent": 65,
    "codec-unavailable": 69,
    "decoder-crashed": 65,
    "decoder-timeout": 65,
    "camera-lost": 69,
    "camera-not-found": 69,
    # checkpoints
    "unknown-model": 78,
    "bad-mirror": 78,
    "bad-size": 78,
    "bad-dtype": 78,
    "unsafe-pickle": 77,
    "checkpoint-html": 65,
    "checkpoint-lfs-pointer": 65,
    "checkpoint-truncated": 65,
    "checkpoint-tar": 65,
    "checkpoint-bare-pickle": 65,
    "checkpoint-torchscript": 65,
    "checkpoint-bomb": 65,
    "checkpoint-corrupt": 65,
    "checkpoint-mismatch": 65,
    "checkpoint-unknown-format": 65,
    "non-finite-weights": 65,
    "manifest-broken": 65,
    "onnx-broken": 65,
    "onnx-external-data": 77,
    "onnx-refused": 77,
    "hash-mismatch": 77,
    # running
    "backend-missing": 69,
    "device-unavailable": 69,
    "out-of-memory": 75,
    "non-finite-output": 70,
    "onnx-failed": 70,
    "pictures-only": 69,
    # data
    "dataset-broken": 65,
    "pack-broken": 65,
    # training
    "bad-settings": 78,
    "frozen-data": 65,
    "training-diverged": 70,
    "training-collapsed": 70,
    # writing
    "disk-full": 74,
    "output-failed": 74,
    "output-exists": 73,
    "output-unwritable": 73,
    # network
    "network-unavailable": 69,
    "download-failed": 75,
    "port-taken": 69,
    # command line
    "bad-usage": 2,
    "internal": 70,
}
"""Every code and the exit status that the command line ends with."""

RETRYABLE = frozenset({"download-failed", "network-unavailable", "out-of-memory", "job-locked"})
"""Codes of faults that may be gone at the next try."""


class MaskletError(Exception):
    """The root: `str(error)` is one line, `.code` is stable, `.context` holds the values that matter."""

    def __init__(self, code: str, message: str, *, hint: str = "", **context: Any) -> None:
        assert code in EXIT_STATUS, f"{code} is not in EXIT_STATUS"
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process borders whole."""
        return _remade, (type(self), self.code, self.message, self.hint, self.context)

    @property
    def exit_status(self) -> int:
        """The exit status of the command line for this fault."""
        return EXIT_STATUS[self.code]

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return self.code in RETRYABLE


def _remade(kind: type[MaskletError], code: str, message: str, hint: str, context: dict[str, Any]) -> MaskletError:
    return kind(code, message, hint=hint, **context)


class InputNotFound(MaskletError, FileNotFoundError):
    """A file is missing, is not a regular file, or may not be read."""


class ImageError(MaskletError, ValueError):
    """A picture is broken, too large, of an unknown kind, or of a shape that is no picture."""


class VideoError(MaskletError, ValueError):
    """A video is broken, refused, or has no frames."""


class PromptError(MaskletError, ValueError):
    """A point, a box or a mask that cannot be meant."""


class FormatError(MaskletError, ValueError):
    """An annotation, a data set or a run-length code that does not hold together."""


class CheckpointError(MaskletError, ValueError):
    """Weights that are wrong, broken or dangerous."""


class BackendError(MaskletError, RuntimeError):
    """A runtime that is missing or that answered with numbers that are not finite."""


class ResourceError(MaskletError, OSError):
    """Memory, disk, device, network or camera ran out or went away."""


class StateError(MaskletError, RuntimeError):
    """The right call at the wrong time."""


class SettingsError(MaskletError, ValueError):
    """An option that does not exist or does not fit the others."""


class MaskletWarning(UserWarning):
    """Something was decided for the user by a stated rule; `.code` says which."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} [{code}]")
        self.code = code


_PACKAGE = str(Path(__file__).parent)


def warn(code: str, message: str) -> None:
    """Warn with a `MaskletWarning` whose location is the nearest caller outside this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(MaskletWarning(code, message), stacklevel=level)

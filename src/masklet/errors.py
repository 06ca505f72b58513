"""Exceptions and warnings of masklet, each with a stable code, and the exit status of each code.

    MaskletError
    ├── InputNotFound     (FileNotFoundError)  a file is missing, empty or unreadable
    ├── ImageError        (ValueError)         an image is broken, too large or of an unsupported type
    ├── VideoError        (ValueError)         a video is broken, refused or has no frames
    ├── PromptError       (ValueError)         a point, box, mask, frame or object id is invalid
    ├── FormatError       (ValueError)         an annotation file, a dataset or an RLE is malformed
    ├── CheckpointError   (ValueError)         weights are malformed, unsafe or of another model
    ├── BackendError      (RuntimeError)       a runtime is missing, or its output is not finite
    ├── ResourceError     (OSError)            memory, disk, device, network or camera is unavailable
    ├── StateError        (RuntimeError)       a call is not allowed in the present state
    └── SettingsError     (ValueError)         an option is unknown, invalid or conflicts with another

A message says what is wrong, the value, and what to do; `hint` is a second line of advice. `EXIT_STATUS`
maps every code to its exit status (from sysexits.h where one fits; 1 is reserved for uncaught exceptions).
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
    # images
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
    "tracker-busy": 75,
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
    "weights-differ": 65,
    # running
    "backend-missing": 69,
    "device-unavailable": 69,
    "out-of-memory": 75,
    "forked-process": 70,
    "non-finite-output": 70,
    "onnx-failed": 70,
    "pictures-only": 69,
    # detectors
    "detector-failed": 70,
    "bad-detections": 70,
    # data
    "dataset-broken": 65,
    "pack-broken": 65,
    "project-broken": 65,
    "project-newer": 65,
    "project-closed": 70,
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
    # servers
    "bad-request": 65,
    "overloaded": 75,
    "session-gone": 65,
    "url-refused": 77,
    # command line
    "bad-usage": 2,
    "internal": 70,
}
"""Exit status of the command line for every error code."""

RETRYABLE = frozenset(
    {"download-failed", "network-unavailable", "out-of-memory", "job-locked", "tracker-busy", "overloaded"}
)
"""Codes of errors after which the same call may succeed later."""


class MaskletError(Exception):
    """Base class of all errors of masklet. `str(error)` is the message and, on a second line, the hint if there is one.

    Attributes:
        code: The stable code, a key of `EXIT_STATUS`.
        message: What is wrong, the value, and what to do.
        hint: A further line of advice, often empty.
        context: Values of the error by name, such as `path`.

    Example:
        >>> try:
        ...     image = masklet.read_image("missing.jpg")
        ... except masklet.MaskletError as error:
        ...     print(error.code, error)
        input-not-found missing.jpg does not exist
    """

    def __init__(self, code: str, message: str, *, hint: str = "", **context: Any) -> None:
        assert code in EXIT_STATUS, f"{code} is not in EXIT_STATUS"
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all attributes, so that errors can be raised across processes."""
        return _restore, (type(self), self.code, self.message, self.hint, self.context)

    @property
    def exit_status(self) -> int:
        """Exit status of the command line for this error."""
        return EXIT_STATUS[self.code]

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return self.code in RETRYABLE


def _restore(kind: type[MaskletError], code: str, message: str, hint: str, context: dict[str, Any]) -> MaskletError:
    return kind(code, message, hint=hint, **context)


class InputNotFound(MaskletError, FileNotFoundError):
    """A file is missing, empty, not a regular file, or cannot be read."""


class ImageError(MaskletError, ValueError):
    """An image is broken, too large, of an unsupported type, or of the wrong shape."""


class VideoError(MaskletError, ValueError):
    """A video is broken, is refused for safety, or has no frames."""


class PromptError(MaskletError, ValueError):
    """A point, a box, a mask, a frame number or an object id is invalid."""


class FormatError(MaskletError, ValueError):
    """An annotation file, a dataset or an RLE is malformed."""


class CheckpointError(MaskletError, ValueError):
    """Weights are malformed, unsafe to load, or of another model."""


class BackendError(MaskletError, RuntimeError):
    """A runtime or a package is missing, or the output of a network is not finite."""


class ResourceError(MaskletError, OSError):
    """Memory, a disk, a device, the network or a camera is exhausted or unavailable."""


class StateError(MaskletError, RuntimeError):
    """A call is not allowed in the present state, such as a job that another process has locked."""


class SettingsError(MaskletError, ValueError):
    """An option is unknown, invalid, or conflicts with another option."""


class MaskletWarning(UserWarning):
    """An input was changed by a documented rule, which `code` identifies."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} [{code}]")
        self.code = code


class MaskWarning(MaskletWarning):
    """A mask may be wrong. The fields `warnings` of `Masks` and `TrackedFrame` list these.

    Attributes:
        code: The reason: `low-score`, `tiny-mask`, `mask-covers-image`, `area-jump` or `object-lost`.
        message: What happened and what to do, on one line.
        object_id: The object.
        frame: Number of the frame in its video; None for an image.
    """

    def __init__(self, code: str, message: str, object_id: int, frame: int | None = None) -> None:
        super().__init__(code, message)
        self.message, self.object_id, self.frame = message, object_id, frame

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all attributes."""
        return type(self), (self.code, self.message, self.object_id, self.frame)

    def to_record(self) -> dict[str, Any]:
        """Return the warning as an object of the JSON output."""
        frame = {} if self.frame is None else {"frame": self.frame}
        return {"code": self.code, "object": self.object_id, **frame, "message": self.message}


_PACKAGE = str(Path(__file__).parent)


def warn(code: str, message: str) -> None:
    """Issue a `MaskletWarning` at the nearest caller outside this package."""
    issue(MaskletWarning(code, message))


def issue(warning: MaskletWarning) -> None:
    """Issue a warning at the nearest caller outside this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(warning, stacklevel=level)

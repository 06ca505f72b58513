"""Detectors by name: a model of transformers, or a function of a Python module."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from masklet.checkpoints.hugging_face import HUB_PREFIX
from masklet.detectors.classes import parse_classes
from masklet.detectors.detections import Detector, TextDetector
from masklet.errors import BackendError, InputNotFound, MaskletError, SettingsError

_ENTRY = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)", re.ASCII)


def load_detector(
    name: str, text: str | Sequence[str], *, min_score: float | None = None, device: str | None = None
) -> Detector:
    """Load a detector of the classes that a text names.

    Args:
        name: See `load_text_detector`.
        text: Classes separated by commas, such as "cat, dog", or a list of them.
        min_score: See `load_text_detector`.
        device: See `load_text_detector`.

    Raises:
        PromptError: `bad-prompt`. The text names no class, or is too long for the model.
        MaskletError: See `load_text_detector`.

    Example:
        >>> detector = masklet.load_detector("models/owlv2", "cat, dog")
        >>> masks, detections = masklet.load().detect("street.jpg", detector)
    """
    classes = parse_classes(text)
    return make_detector(load_text_detector(name, min_score=min_score, device=device), classes, name)


def load_text_detector(name: str, *, min_score: float | None = None, device: str | None = None) -> TextDetector:
    """Load what makes detectors of classes.

    Args:
        name: A folder with a model of transformers, the name `owner/name` of one on the Hugging Face Hub, or
            `module:callable`, a `TextDetector` of a Python module, which is searched in the current folder last.
        min_score: Score from which a detection of a model of transformers is an object. By default 0.1 for OWL, and
            0.25 for Grounding DINO.
        device: Device of a model of transformers. By default the first available of CUDA, MPS and CPU.

    Raises:
        InputNotFound: There is no such folder, model or module.
        BackendError: transformers or PyTorch is not installed.
        CheckpointError: The model is no detector, or damaged.
        SettingsError: The module has no such callable.
        ResourceError: The device is not available, or the download failed.
    """
    entry = _import_if_entry(name)
    if entry is not None:
        return entry
    from masklet.detectors.zero_shot import load_zero_shot

    return load_zero_shot(name, min_score=min_score, device=device)


def check_detector_name(name: str) -> None:
    """Raise the errors of `load_text_detector` that need no model: a missing folder, module or library."""
    if not _import_if_entry(name):
        from masklet.detectors.zero_shot import check_source

        check_source(name)


def make_detector(make: Callable[[tuple[str, ...]], Any], classes: tuple[str, ...], name: str) -> Detector:
    """Return a detector of classes.

    Args:
        make: What makes it.
        classes: The classes.
        name: Its name, for messages.

    Raises:
        PromptError: The text is too long for the model.
        BackendError: `detector-failed`. The callable of a module raised an error. `bad-detections`. It returned
            something that cannot be called.
    """
    try:
        detector = make(classes)
    except MaskletError:
        raise
    except Exception as cause:
        message = f"{name} failed for the classes {', '.join(classes)}: {type(cause).__name__}: {cause}"
        raise BackendError("detector-failed", message) from cause
    if not callable(detector):
        message = f"{name} takes classes and returns a detector, a function of an image; got {type(detector).__name__}"
        raise BackendError("bad-detections", message)
    return detector  # type: ignore[no-any-return]


def _import_if_entry(name: str) -> TextDetector | None:
    entry = None if Path(name).is_dir() or name.startswith(HUB_PREFIX) else _ENTRY.fullmatch(name)
    return None if entry is None else _import_entry(entry["module"], entry["name"])


def _import_entry(module: str, name: str) -> TextDetector:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # for good, since the module may import others later
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as cause:
        if cause.name is None or not f"{module}.".startswith(f"{cause.name}."):
            raise _import_error(module, cause) from cause
        message = f"there is no Python module {cause.name}, neither installed nor in the current folder"
        raise InputNotFound("input-not-found", message, path=module) from cause
    except Exception as cause:
        raise _import_error(module, cause) from cause
    found = getattr(imported, name, None)
    if not callable(found):
        raise SettingsError("bad-usage", f"the module {module} has no function or class {name}")
    return found  # type: ignore[no-any-return]


def _import_error(module: str, cause: Exception) -> BackendError:
    return BackendError("detector-failed", f"{module} cannot be imported: {type(cause).__name__}: {cause}")

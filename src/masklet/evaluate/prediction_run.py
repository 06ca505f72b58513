"""Prediction runs: predict all clips of a dataset into a folder, and resume at the first unfinished clip."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from masklet.datasets.dataset import AnnotatedClip, Clips
from masklet.errors import FormatError, InputNotFound, ResourceError, StateError
from masklet.evaluate.predictions import PredictionFolder, PredictionLayout, write_frame
from masklet.evaluate.vos import FirstPrompt, track_clip
from masklet.files.atomic import atomic_write
from masklet.files.error_translation import translate_write_errors
from masklet.files.json_fields import read_fields
from masklet.files.lock import Lock
from masklet.files.outputs import remove_folder, remove_partial_folders
from masklet.memory.recent_memory import RECENT_MEMORY
from masklet.segmenter import Segmenter
from masklet.views.view_fields import write_view

RUN_FILE = "run.json"
_FOLDER = "predictions"
_OLD_FOLDER = "answers"  # name of the folder in runs of version 0.1.0, which are resumed in it


def find_predictions(folder: Path) -> PredictionFolder:
    """Return the predictions of the run in an output folder, which need not exist yet."""
    old = os.path.lexists(folder / _OLD_FOLDER) and not os.path.lexists(folder / _FOLDER)
    return PredictionFolder(folder / (_OLD_FOLDER if old else _FOLDER))


def predict_clips(
    model: Segmenter,
    clips: Clips,
    first_prompt: FirstPrompt,
    folder: Path,
    layout: PredictionLayout,
    *,
    restart: bool = False,
) -> Iterator[int]:
    """Predict all clips of a dataset, and resume an interrupted run at its first unfinished clip.

    Args:
        model: The model.
        clips: The clips.
        first_prompt: The kind of prompt on the first frame of each object.
        folder: The output folder. `find_predictions` returns the predictions in it.
        layout: The layout of the prediction files.
        restart: Remove the predictions of an earlier run first.

    Yields:
        The number of frames that are tracked so far, after each frame.

    Raises:
        StateError: The folder holds predictions of another model, prompt or dataset (`resume-mismatch`), or another
            process is working in it (`job-locked`).
        ResourceError: The folder holds predictions that no run has written (`output-exists`).
    """
    with _lock_folder(folder):
        predictions = find_predictions(folder)
        _check_ownership(predictions.root, folder / RUN_FILE)
        remove_partial_folders(predictions.root)
        if restart:
            remove_folder(predictions.root)
            (folder / RUN_FILE).unlink(missing_ok=True)
            predictions = find_predictions(folder)
        _check_run(folder, _describe_run(model, clips, first_prompt, layout))
        pending = (clips[name] for name in clips.names if not predictions.has_clip(name))
        frames = (frame for clip in pending for frame in _predict_clip(model, clip, first_prompt, predictions, layout))
        for count, _ in enumerate(frames, start=1):
            yield count


def _predict_clip(
    model: Segmenter,
    clip: AnnotatedClip,
    first_prompt: FirstPrompt,
    predictions: PredictionFolder,
    layout: PredictionLayout,
) -> Iterator[int]:
    """Track the objects of a clip and write the frames that its benchmark requires, all or none.

    In label maps each pixel belongs to the object with the highest logit; in masks per object, objects may overlap.
    """
    required = set(clip.required_frames)
    with predictions.write_clip(clip.name) as folder:
        for frame, masks in track_clip(model, clip, first_prompt):
            if frame in required:
                written = masks.remove_overlap() if layout == "labels" else masks
                write_frame(folder, clip.frame_names[frame], written, layout)
            yield frame


def _describe_run(
    model: Segmenter, clips: Clips, first_prompt: FirstPrompt, layout: PredictionLayout
) -> dict[str, str]:
    """Describe the model, the data and the options of the predictions, as the content of `run.json`."""
    return {
        "weights": model.backend.identity,
        "size": str(model.input_size),
        "data": f"{clips.kind} {clips.split}",
        "prompt": first_prompt.name,
        "zoom": f"{model.zoom:g}",
        "tile": str(write_view(model.view).get("tile", 0)),
        "memory": model.memory.name if model.memory == RECENT_MEMORY else str(model.memory),
        "files": layout,
    }


def _check_ownership(predictions: Path, run_file: Path) -> None:
    """Raise `ResourceError` for predictions that no run has written: they are neither resumed nor removed."""
    with translate_write_errors(predictions):
        empty = not os.path.lexists(predictions) or (predictions.is_dir() and not any(predictions.iterdir()))
    if not empty and not _is_run(run_file):
        message = f"{predictions} has no record of a run ({RUN_FILE}) beside it; move it away or choose another folder"
        raise ResourceError("output-exists", message)


def _is_run(path: Path) -> bool:
    """Return whether a file is the record of a run, as `_check_run` writes it."""
    if not path.is_file():
        return False
    try:
        return read_fields(path).names >= {"weights", "data", "prompt"}
    except (FormatError, InputNotFound):
        return False


def _check_run(folder: Path, description: Mapping[str, str]) -> None:
    """Record the run in `run.json`. Raise `StateError` if the folder holds a run with another description."""
    path = folder / RUN_FILE
    if not path.is_file():
        with atomic_write(path) as handle:
            handle.write(json.dumps(description, indent=1).encode())
        return
    recorded = {
        "zoom": "0",
        "tile": "0",
        "memory": "recent",
        **read_fields(path).value,
    }  # older records have no such keys
    different = [key for key, value in description.items() if recorded.get(key) != value]
    if different:
        key = different[0]
        message = f"{folder} holds predictions for {key} {recorded.get(key)!r}, not {description[key]!r}"
        raise StateError("resume-mismatch", f"{message}; choose another folder, or --overwrite")


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Create a folder and hold its lock."""
    with translate_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder / "lock")
    try:
        yield
    finally:
        lock.release()

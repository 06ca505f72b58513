"""Session reader: resume a tracker from a session file, on any machine and runtime."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from masklet.backend import Backend
from masklet.errors import CheckpointError, InputNotFound, StateError
from masklet.masks.postprocessing import PostProcessing
from masklet.memory.policies import policy_from_fields
from masklet.memory.policy import Record
from masklet.prompts import Prompt
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.object_track import ObjectTrack
from masklet.tracking.session_writer import VERSION
from masklet.tracking.tracker import Frames, Tracker
from masklet.views.view_fields import read_view


def read_session(
    path: Path, backend: Backend, video: Frames | None = None, *, disk_cache: DiskCache | None = None
) -> Tracker:
    """Read a tracker that `Tracker.save` wrote. Tracking resumes from its saved state.

    Args:
        path: The session file.
        backend: Backend with the same model at the same input size.
        video: The video, or None for a stream.
        disk_cache: See `Tracker`.

    Raises:
        InputNotFound: The file does not exist.
        CheckpointError: The file is not a session, or is damaged.
        StateError: The session was made with another model or another input size.
    """
    if not path.is_file():
        raise InputNotFound("input-not-found", f"{path}: the session file does not exist")
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["masklet"])
            _check_model(header, backend, path)
            tracker = Tracker(
                backend,
                video,
                length=None if header["length"] is None else _check_integer(header["length"]),
                disk_cache=disk_cache,
                postprocessing=PostProcessing.from_fields(header.get("cleaning", {})),
                view=read_view(header),
                memory=policy_from_fields(header.get("memory", {})),
            )
            tracker.stamps = count(_check_integer(header["stamp"]))
            tracker.size = tuple(header["picture"]) if header["picture"] else None
            for entry in header["objects"]:
                tracker.tracks[_check_integer(entry["id"])] = _read_track(tracker, entry, file)
    except (SafetensorError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as cause:
        if isinstance(cause, StateError | CheckpointError):
            raise
        message = f"{path}: the file is damaged or not a tracking session; track again from prompts"
        raise CheckpointError("session-broken", message) from cause
    return tracker


def _check_model(header: dict[str, Any], backend: Backend, path: Path) -> None:
    actual = (header["version"], header["identity"], header["size"])
    expected = (VERSION, backend.identity, backend.input_size)
    if actual != expected:
        raise StateError(
            "resume-mismatch",
            f"{path}: the session was made with {header['model']} at input size {header['size']} (weights "
            f"{header['identity'][:8]}), not with {backend.config.name} at {backend.input_size} (weights "
            f"{backend.identity[:8]})",
            hint="load the model that the session was made with",
        )


def _read_record(row: list[Any]) -> Record:
    iou, object_score, state, parent, direction = row
    numbers = tuple(map(float, state))
    return Record(float(iou), float(object_score), numbers, _check_integer(parent), _check_integer(direction))


def _check_integer(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is not an integer")
    return value


def _read_track(tracker: Tracker, entry: dict[str, Any], file: Any) -> ObjectTrack:
    key = entry["id"]
    track = ObjectTrack.create(key, tracker.backend, tracker.disk_cache, tracker.memory, tracker.length)
    track.label = entry.get("label")
    names = set(file.keys())

    def read_arrays(kind: str, frame: int | str) -> list[NDArray[Any]]:
        arrays: list[NDArray[Any]] = []
        while (name := f"{key}/{kind}/{frame}/{len(arrays)}") in names:
            arrays.append(file.get_tensor(name))
        if not arrays:
            raise KeyError(f"{key}/{kind}/{frame}")
        return arrays

    for frame, shape in entry["prompts"].items():
        points, labels = (file.get_tensor(f"{key}/prompt/{frame}/{part}") for part in ("points", "labels"))
        mask = None
        if shape is not None:
            bits = np.unpackbits(file.get_tensor(f"{key}/prompt/{frame}/mask"), count=shape[0] * shape[1])
            mask = bits.reshape(shape).astype(bool)
        track.prompts[int(frame)] = Prompt(points, labels, mask)
    for frame in map(_check_integer, entry["prompted"]):
        (track.prompted[frame],) = track.recent.unpack(read_arrays("prompted", frame))
        track.add_frame(frame)
    for frame in map(_check_integer, entry["recent"]):
        track.recent.spill_packed(frame, read_arrays("recent", frame))
        track.add_frame(frame)
    for frame in map(_check_integer, entry["answers"]):
        if frame in track.prompts:
            track.results[frame] = track.results.unpack(read_arrays("answers", frame))
        else:
            track.results.spill_packed(frame, read_arrays("answers", frame))
    track.records.update(
        {int(frame): tuple(map(_read_record, rows)) for frame, rows in entry.get("records", {}).items()}
    )
    track.uncertainties.update({int(frame): uncertainty for frame, uncertainty in entry["doubts"].items()})
    return track

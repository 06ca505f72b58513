"""A tracking session in one file: stop here, go on there, on another machine or another runtime.

The file is safetensors: arrays bit for bit, and in its header a JSON text with everything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from masklet.backend import Backend
from masklet.checkpoints.writer import stream_tensors
from masklet.errors import CheckpointError, InputNotFound, StateError
from masklet.masks.postprocessing import PostProcessing
from masklet.prompts import Prompt
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.object_track import ObjectTrack
from masklet.tracking.tracker import Frames, Tracker

VERSION = 1


def write_session(tracker: Tracker, path: Path) -> None:
    """Write `tracker` to `path`, array by array; a kill leaves the old file or the new one.

    Raises `ResourceError` where the file cannot be written.
    """
    stream_tensors(path, partial(_arrays, tracker), {"masklet": json.dumps(_told(tracker))})


def read_session(
    path: Path, backend: Backend, video: Frames | None = None, *, disk_cache: DiskCache | None = None
) -> Tracker:
    """The tracker that was written to `path`, as if it had never stopped, over `backend` and perhaps `video`.

    Raises `InputNotFound`, `CheckpointError` for a file that is no session, and `StateError` where the session is of
    another model, or of the same one at another size.
    """
    if not path.is_file():
        raise InputNotFound("input-not-found", f"{path}: no such session file")
    try:
        with safe_open(path, framework="numpy") as file:
            told = json.loads((file.metadata() or {})["masklet"])
            _check(told, backend, path)
            cleaning = PostProcessing.from_fields(told.get("cleaning", {}))
            length = None if told["length"] is None else _whole(told["length"])
            zoom = float(told.get("zoom", 0.0))
            tracker = Tracker(backend, video, length=length, disk_cache=disk_cache, postprocessing=cleaning, zoom=zoom)
            tracker._stamps = count(_whole(told["stamp"]))
            tracker.size = tuple(told["picture"]) if told["picture"] else None
            for one in told["objects"]:
                tracker.tracks[_whole(one["id"])] = _track(tracker, one, file)
    except (SafetensorError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as cause:
        if isinstance(cause, StateError | CheckpointError):
            raise
        raise CheckpointError(
            "session-broken", f"{path}: not a tracking session of masklet, or a broken one"
        ) from cause
    return tracker


def _told(tracker: Tracker) -> dict[str, Any]:
    """Everything about a session that is not an array."""
    return {
        "version": VERSION,
        "model": tracker.backend.config.name,
        "identity": tracker.backend.identity,
        "size": tracker.backend.input_size,
        "picture": tracker.size,
        "length": tracker.length,
        "cleaning": tracker.postprocessing.to_fields(),
        "zoom": tracker.zoom,
        "stamp": next(tracker._stamps),
        "objects": [
            {
                "id": key,
                "prompts": {frame: list(prompt.mask.shape) if prompt.mask is not None else None
                            for frame, prompt in track.prompts.items()},
                "prompted": list(track.bank.prompted),
                "recent": list(track.recent),
                "answers": list(track.results),
                "doubts": track.uncertainties,
            }
            for key, track in tracker.tracks.items()
        ],
    }  # fmt: skip


def _arrays(tracker: Tracker) -> Iterator[tuple[str, NDArray[Any]]]:
    for key, track in tracker.tracks.items():
        for frame, prompt in track.prompts.items():
            yield f"{key}/prompt/{frame}/points", prompt.points
            yield f"{key}/prompt/{frame}/labels", prompt.labels
            if prompt.mask is not None:
                yield f"{key}/prompt/{frame}/mask", np.packbits(prompt.mask)
        for frame, memory in track.bank.prompted.items():
            yield from _numbered(f"{key}/prompted/{frame}", track.recent.pack(memory))
        for frame in track.recent:
            yield from _numbered(f"{key}/recent/{frame}", track.recent.get_packed(frame))
        for frame in track.results:
            yield from _numbered(f"{key}/answers/{frame}", track.results.get_packed(frame))


def _numbered(name: str, arrays: list[NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    for index, array in enumerate(arrays):
        yield f"{name}/{index}", array


def _check(told: dict[str, Any], backend: Backend, path: Path) -> None:
    found = (told["version"], told["identity"], told["size"])
    expected = (VERSION, backend.identity, backend.input_size)
    if found != expected:
        raise StateError(
            "resume-mismatch",
            f"{path}: the session is of {told['model']} at size {told['size']} (weights {told['identity'][:8]}), "
            f"the model here is {backend.config.name} at size {backend.input_size} (weights {backend.identity[:8]})",
            hint="load the model that the session was made with",
        )


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _track(tracker: Tracker, told: dict[str, Any], file: Any) -> ObjectTrack:
    key, track = told["id"], tracker.create_track(told["id"])
    names = set(file.keys())

    def arrays(kind: str, frame: int | str) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = []
        while (name := f"{key}/{kind}/{frame}/{len(found)}") in names:
            found.append(file.get_tensor(name))
        if not found:
            raise KeyError(f"{key}/{kind}/{frame}")
        return found

    for frame, shape in told["prompts"].items():
        points, labels = (file.get_tensor(f"{key}/prompt/{frame}/{part}") for part in ("points", "labels"))
        mask = None
        if shape is not None:
            bits = np.unpackbits(file.get_tensor(f"{key}/prompt/{frame}/mask"), count=shape[0] * shape[1])
            mask = bits.reshape(shape).astype(bool)
        track.prompts[int(frame)] = Prompt(points, labels, mask)
    for frame in map(_whole, told["prompted"]):
        track.bank.prompted[frame] = track.recent.unpack(arrays("prompted", frame))
    for frame in map(_whole, told["recent"]):
        track.recent.spill_packed(frame, arrays("recent", frame))
    for frame in map(_whole, told["answers"]):
        if frame in track.prompts:
            track.results[frame] = track.results.unpack(arrays("answers", frame))
        else:
            track.results.spill_packed(frame, arrays("answers", frame))
    track.uncertainties.update({int(frame): doubt for frame, doubt in told["doubts"].items()})
    return track

"""Session reader: resume a tracker from a session file, on any machine and runtime.

A damaged file is found by its checksum; files of version 0.1.0 have none. Everything that the tracker relies on is
checked as well, since a file may come from others.
"""

from __future__ import annotations

import json
import math
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from masklet.backend import Backend
from masklet.checkpoints.checksum import CHECKSUM_KEY, compute_checksum
from masklet.config import MASK_STRIDE
from masklet.errors import CheckpointError, InputNotFound, StateError
from masklet.files.open_input import open_input
from masklet.masks.crop import Crop
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
        InputNotFound: The file does not exist or cannot be read.
        CheckpointError: The file is not a session, or is damaged.
        StateError: The session was made with another model or another input size.
    """
    try:
        open_input(path).close()
    except InputNotFound as error:
        if error.code != "input-empty":
            raise
    try:
        with safe_open(path, framework="numpy") as file:
            _check_content(file)
            header = json.loads(file.metadata()["masklet"])
            _check_model(header, backend, path)
            tracker = Tracker(
                backend,
                video,
                length=None if header["length"] is None else _check_number(header["length"]),
                disk_cache=disk_cache,
                postprocessing=PostProcessing.from_fields(header.get("cleaning", {})),
                view=read_view(header),
                memory=policy_from_fields(header.get("memory", {})),
            )
            tracker.stamps = count(_check_number(header["stamp"]))
            tracker.size = _check_size(header["picture"]) if header["picture"] else None
            for entry in header["objects"]:
                key = _check_integer(entry["id"])
                _require(key not in tracker.tracks, f"object {key} is listed twice")
                tracker.tracks[key] = _read_track(tracker, entry, file)
    except (StateError, CheckpointError):
        raise
    except (SafetensorError, OSError, *_MALFORMED) as cause:
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


def _check_content(file: Any) -> None:
    """Check the checksum, if there is one."""
    metadata: dict[str, str] = file.metadata() or {}
    if CHECKSUM_KEY in metadata:
        actual = compute_checksum(metadata, ((name, file.get_tensor(name)) for name in file.keys()))  # noqa: SIM118
        _require(actual == metadata[CHECKSUM_KEY], "the checksum is wrong")


def _read_record(row: list[Any]) -> Record:
    iou, object_score, state, parent, direction = row
    numbers = tuple(map(float, state))
    return Record(float(iou), float(object_score), numbers, _check_integer(parent), _check_integer(direction))


def _require(claim: bool, reason: str) -> None:
    if not claim:
        raise ValueError(reason)


def _check_integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _LARGEST:
        raise ValueError(f"{value!r:.60} is not an integer of 63 bits")
    return value


def _check_number(value: Any) -> int:
    """Check a number that is not negative, such as that of a frame."""
    _require(_check_integer(value) >= 0, f"{value} is negative")
    return int(value)


def _check_size(value: Any) -> tuple[int, int]:
    height, width = map(_check_integer, value)
    _require(0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE, f"{value} is no size of an image")
    return height, width


class _Shapes:
    """Shapes of the arrays that a backend stores. Those of the networks' arrays are known on real runtimes only."""

    def __init__(self, backend: Backend, size: tuple[int, int] | None) -> None:
        side, config = backend.input_size // MASK_STRIDE, backend.config
        self._size = size
        self._decoded: list[tuple[int, ...] | None] = [(1, 1, side, side), (1, 1), (1, 1), None]
        self._memory: list[tuple[int, ...] | None] = [None, None]
        if backend.runtime in ("torch", "onnx"):
            self._decoded[3] = 1, config.channels
            self._memory = [(1, *config.memory_shape(backend.input_size)), (1, config.channels)]

    def check_result(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Check a packed `ObjectResult`: a decoded mask, numbers, and further decoded masks."""
        _require(len(arrays) >= 5 and not (len(arrays) - 5) % 4, "arrays of a result are missing")
        for start in (0, *range(5, len(arrays), 4)):
            self._check(arrays[start : start + 4], self._decoded)
        numbers = arrays[4]
        _require(numbers.dtype == np.int64 and numbers.shape in ((3,), (7,)), "the numbers of a result are wrong")
        direction, _, _, *region = numbers.tolist()
        _require(direction in (-1, 0, 1), f"{direction} is no direction")
        if region:
            crop = Crop(*region)
            width, height = crop.right - crop.left, crop.bottom - crop.top
            _require(0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE, f"{crop} is no part of an image")
        return arrays

    def check_memories(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Check packed memories."""
        _require(not len(arrays) % 2, "an array of a memory is missing")
        for start in range(0, len(arrays), 2):
            self._check(arrays[start : start + 2], self._memory)
        return arrays

    def check_mask(self, packed: NDArray[Any], shape: Any) -> NDArray[np.bool_]:
        """Return the mask of a prompt."""
        size = _check_size(shape)
        _require(packed.dtype == np.uint8 and packed.shape == (math.ceil(size[0] * size[1] / 8),), "a mask is broken")
        return np.unpackbits(packed, count=size[0] * size[1]).reshape(size).astype(bool)

    def _check(self, arrays: list[NDArray[Any]], shapes: list[tuple[int, ...] | None]) -> None:
        for position, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
            if shape is None:  # the first array is the example of the others
                shapes[position] = array.shape
            _require(array.shape == shapes[position], f"an array has the shape {array.shape}, not {shapes[position]}")
            _require(array.dtype.kind in "fiu", f"an array has the dtype {array.dtype}")


_LARGEST = 2**62
_MAX_SIDE = 2**20  # pixels of an image
_MALFORMED = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError)


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

    shapes = _Shapes(tracker.backend, tracker.size)
    for text, shape in entry["prompts"].items():
        frame = _check_number(int(text))
        points, labels = (file.get_tensor(f"{key}/prompt/{text}/{part}") for part in ("points", "labels"))
        _require(points.dtype.kind == "f" and labels.dtype.kind == "i", "a prompt has wrong dtypes")
        mask = None if shape is None else shapes.check_mask(file.get_tensor(f"{key}/prompt/{text}/mask"), shape)
        track.prompts[frame] = Prompt(points, labels, mask)
    for frame in map(_check_number, entry["prompted"]):
        (track.prompted[frame],) = track.recent.unpack(shapes.check_memories(read_arrays("prompted", frame)))
        track.add_frame(frame)
    for frame in map(_check_number, entry["recent"]):
        track.recent.spill_packed(frame, shapes.check_memories(read_arrays("recent", frame)))
        track.add_frame(frame)
    for frame in map(_check_number, entry["answers"]):
        arrays = shapes.check_result(read_arrays("answers", frame))
        if frame in track.prompts:
            track.results[frame] = track.results.unpack(arrays)
        else:
            track.results.spill_packed(frame, arrays)
    records = {_check_number(int(text)): rows for text, rows in entry.get("records", {}).items()}
    track.records.update({frame: tuple(map(_read_record, rows)) for frame, rows in records.items()})
    track.uncertainties.update({_check_number(int(text)): float(value) for text, value in entry["doubts"].items()})
    _check_track(track)
    return track


def _check_track(track: ObjectTrack) -> None:
    """Check that the parts of a track belong together."""
    prompted, recent = track.prompts.keys(), [*track.recent]
    _require(prompted == track.prompted.keys(), "a prompt has no memory, or a memory no prompt")
    _require(all(frame in track.results for frame in prompted), "a prompt has no result")
    _require(bool(prompted) or not recent, "a tracked object has no prompt")
    if track.policy.chooses:
        counts = {**dict.fromkeys(prompted, 1), **{frame: len(track.recent[frame]) for frame in recent}}
        _require(all(len(track.records.get(frame, ())) == count for frame, count in counts.items()), "records miss")

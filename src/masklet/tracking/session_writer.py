"""Session writer: the state of a tracker in one safetensors file.

Arrays are stored bit for bit. Everything else is a JSON text in the header, whose keys are those of version 0.1.0. The
metadata has a checksum of the content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend
from masklet.checkpoints.writer import stream_tensors
from masklet.masks.postprocessing import PostProcessing
from masklet.memory.policies import policy_to_fields
from masklet.memory.policy import MemoryPolicy
from masklet.tracking.object_track import ObjectTrack
from masklet.views.view import View
from masklet.views.view_fields import write_view

VERSION = 1


@dataclass(frozen=True, slots=True)
class Session:
    """State of a tracker.

    Attributes:
        backend: Backend with the model.
        tracks: The objects.
        size: (H, W) of the frames; None before the first prompt.
        length: Number of frames, if it is known.
        postprocessing: Post-processing of masks.
        view: Rule that places the part of a frame in which each object is predicted.
        memory: Memory policy.
        stamp: Number of the next result.
    """

    backend: Backend
    tracks: Mapping[int, ObjectTrack]
    size: tuple[int, int] | None
    length: int | None
    postprocessing: PostProcessing
    view: View
    memory: MemoryPolicy
    stamp: int


def write_session(path: Path, session: Session) -> None:
    """Write a session array by array, atomically.

    Raises:
        ResourceError: The file cannot be written.
    """
    header = {"masklet": json.dumps(_build_header(session))}
    stream_tensors(path, partial(_list_arrays, session.tracks), header, with_checksum=True)


def _build_header(session: Session) -> dict[str, Any]:
    return {
        "version": VERSION,
        "model": session.backend.config.name,
        "identity": session.backend.identity,
        "size": session.backend.input_size,
        "picture": session.size,
        "length": session.length,
        "cleaning": session.postprocessing.to_fields(),
        **write_view(session.view),
        "memory": policy_to_fields(session.memory),
        "stamp": session.stamp,
        "objects": [
            {
                "id": key,
                "prompts": {frame: list(prompt.mask.shape) if prompt.mask is not None else None
                            for frame, prompt in track.prompts.items()},
                "label": track.label,
                "prompted": list(track.prompted),
                "recent": list(track.recent),
                "answers": list(track.results),
                "records": {frame: [list(record) for record in records] for frame, records in track.records.items()},
                "doubts": track.uncertainties,
            }
            for key, track in session.tracks.items()
        ],
    }  # fmt: skip


def _list_arrays(tracks: Mapping[int, ObjectTrack]) -> Iterator[tuple[str, NDArray[Any]]]:
    for key, track in tracks.items():
        for frame, prompt in track.prompts.items():
            yield f"{key}/prompt/{frame}/points", prompt.points
            yield f"{key}/prompt/{frame}/labels", prompt.labels
            if prompt.mask is not None:
                yield f"{key}/prompt/{frame}/mask", np.packbits(prompt.mask)
        for frame, memory in track.prompted.items():
            yield from _number(f"{key}/prompted/{frame}", track.recent.pack((memory,)))
        for frame in track.recent:
            yield from _number(f"{key}/recent/{frame}", track.recent.get_packed(frame))
        for frame in track.results:
            yield from _number(f"{key}/answers/{frame}", track.results.get_packed(frame))


def _number(name: str, arrays: list[NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    for index, array in enumerate(arrays):
        yield f"{name}/{index}", array

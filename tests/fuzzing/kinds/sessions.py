"""Sessions of trackers: the file, and what a tracker does that was read from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing.mutation import mutate_bytes, mutate_safetensors
from fuzzing.target import Target, require
from masklet.errors import CheckpointError, InputNotFound, PromptError, ResourceError, StateError
from masklet.masks.postprocessing import PostProcessing
from masklet.memory.sam2long import Sam2LongMemory
from masklet.prompts import box, click, mask
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from masklet.views.zoom_view import ZoomView
from support.fake_backend import FakeBackend, VariedBackend

VIDEO = np.random.RandomState(0).randint(0, 256, (20, 8, 12, 3), np.uint8)
ERRORS = (CheckpointError, InputNotFound, StateError, PromptError, ResourceError)
_VISITED = 8
_CONTINUED = 3


def make_tracker(variant: int) -> Tracker:
    """Make a tracker of three objects: a plain one, one with a zoom, or one with several hypotheses."""
    options: dict[str, Any] = {}
    if variant == 1:
        options = {"view": ZoomView(2.0), "postprocessing": PostProcessing(fill_holes=4)}
    elif variant == 2:
        options = {"memory": Sam2LongMemory()}
    tracker = Tracker(VariedBackend() if variant else FakeBackend(), VIDEO, length=len(VIDEO), **options)
    square = np.zeros((8, 12), bool)
    square[2:6, 2:6] = True
    tracker.prompt(0, {1: click(3, 3, label="cat"), 2: box(1, 1, 9, 6), 5: mask(square)})
    for frame in range(1, _VISITED):
        tracker.step(frame)
    return tracker


def continue_tracking(tracker: Tracker) -> list[Any]:
    """Read a result, track three frames, correct one and save, as users of a session do."""
    results = [tracker.masks(_VISITED - 2)]
    results += [tracker.step(frame) for frame in islice(range(_VISITED, len(VIDEO)), _CONTINUED)]
    results.append(tracker.prompt(2, {1: click(5, 5)}))
    for masks in results:
        require(masks.size == VIDEO.shape[1:3], f"masks of {masks.size}")
        require(bool(np.isfinite(masks.scores).all()), f"scores {masks.scores}")
    return [(masks.object_ids, masks.low_res.tobytes()) for masks in results]


def _check(path: Path, variant: int, expected: list[Any]) -> None:
    backend = VariedBackend() if variant else FakeBackend()
    tracker = read_session(path, backend, VIDEO)
    require(continue_tracking(tracker) == expected, "a damaged session gives other masks without an error")
    tracker.save(path.with_suffix(".again"))


def _mutate(content: bytes, rng: Random) -> bytes:
    return (mutate_bytes if rng.random() < 0.4 else mutate_safetensors)(content, rng)


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets: a session of each sort of tracker."""
    targets = []
    for variant, name in enumerate(("plain", "zoomed", "hypotheses")):
        path = folder / f"{name}.session"
        make_tracker(variant).save(path)
        expected = continue_tracking(read_session(path, VariedBackend() if variant else FakeBackend(), VIDEO))
        targets.append(
            Target(name, path, [path.read_bytes()], partial(_check, path, variant, expected), _mutate, ERRORS)
        )
    yield targets

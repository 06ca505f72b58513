"""Tracker with every view and memory policy: what does not change a mask."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.errors import PromptError, StateError
from masklet.masks.masks import Masks
from masklet.memory.dam4sam import Dam4SamMemory
from masklet.memory.policy import MemoryPolicy
from masklet.memory.recent_memory import RecentMemory
from masklet.memory.sam2long import Sam2LongMemory
from masklet.memory.samurai import SamuraiMemory
from masklet.prompts import Prompt, box, click, mask
from masklet.tracking.object_track import ObjectTrack
from masklet.tracking.propagate import propagate
from masklet.tracking.retention import retain_for_turn
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import Direction, plan_traversal
from masklet.video import open_video
from masklet.views.tiled_view import TiledView
from masklet.views.view import WHOLE_VIEW, View
from masklet.views.zoom_view import ZoomView
from support.fake_backend import RecomputingTracker, UnspilledTracker, VariedBackend
from support.opaque_backend import OpaqueBackend

LENGTH, SIZE = 40, (48, 80)
CLIP = np.random.RandomState(0).randint(0, 256, (LENGTH, *SIZE, 3), np.uint8)
VIDEO: Any = open_video(CLIP)
VIEWS: dict[str, View] = {"whole": WHOLE_VIEW, "zoom": ZoomView(1.5), "tiled": TiledView(32)}
POLICIES: dict[str, MemoryPolicy] = {
    "recent": RecentMemory(),
    "samurai": SamuraiMemory(stable_frames=2, stable_iou=0.5, memory_iou=0.7),
    "dam4sam": Dam4SamMemory(stride=3, min_iou=0.5, min_area_ratio=0.3, max_area_ratio=3, min_interval=1),
    "sam2long": Sam2LongMemory(memory_iou=0.7),
}
Settings = tuple[str, str]
SETTINGS = [*product(VIEWS, POLICIES)]
every_setting = pytest.mark.parametrize("settings", SETTINGS, ids="-".join)


def create(settings: Settings, kind: type[Tracker] = Tracker, *, streamed: bool = False) -> Tracker:
    """Create a tracker; one that is streamed is passed each image, and cannot read the arrays of its backend."""
    view, policy = settings
    backend: Any = OpaqueBackend(VariedBackend()) if streamed else VariedBackend()
    return kind(backend, None if streamed else CLIP, view=VIEWS[view], memory=POLICIES[policy])


def same(a: Masks, b: Masks) -> bool:
    return (
        a.object_ids == b.object_ids
        and a.crops == b.crops
        and np.array_equal(a.low_res, b.low_res)
        and np.array_equal(a.scores, b.scores)
        and np.array_equal(a.object_scores, b.object_scores)
    )


def all_same(one: Sequence[Masks], other: Sequence[Masks]) -> bool:
    return len(one) == len(other) and all(map(same, one, other))


def draw_prompt(rng: random.Random) -> Prompt:
    x, y = rng.randint(8, SIZE[1] - 20), rng.randint(8, SIZE[0] - 20)
    shape = np.zeros(SIZE, bool)
    shape[y : y + 9, x : x + 12] = True
    return rng.choice([click(x, y), box(x, y, x + 12, y + 9), mask(shape)])


@dataclass(frozen=True)
class Action:
    """One action of a user, the same for every tracker."""

    kind: str
    frame: int
    object_id: int
    count: int
    direction: int
    prompt: Prompt

    def run(self, tracker: Tracker) -> list[Masks]:
        try:
            if self.kind == "prompt":
                return [tracker.prompt(self.frame, {self.object_id: self.prompt}, self.image_for(tracker, self.frame))]
            if self.kind == "track":
                stop = min(max(self.frame + self.direction * self.count, -1), LENGTH)
                return [
                    tracker.step(frame, self.image_for(tracker, frame), direction=self.direction)
                    for frame in range(self.frame, stop, self.direction)
                ]
            if self.kind == "remove_prompt":
                tracker.remove_prompt(self.frame, self.object_id)
            else:
                tracker.remove_object(self.object_id)
        except (PromptError, StateError):
            pass
        return []

    @staticmethod
    def image_for(tracker: Tracker, frame: int) -> Any:
        return CLIP[frame] if tracker.video is None else None


def draw_actions(seed: int) -> Iterator[Action]:
    """Draw prompts, corrections, removals, and tracking in both directions."""
    rng = random.Random(seed)
    last = rng.randrange(LENGTH)
    others = ["prompt", "prompt", "track", "track", "track", "remove_prompt", "remove_object"]
    for number, kind in enumerate(["prompt", "prompt", "track", *rng.choices(others, k=6), "prompt", "track"]):
        frame, object_id = rng.choice([last, rng.randrange(LENGTH)]), number + 1 if number < 2 else rng.randint(1, 2)
        action = Action(kind, frame, object_id, rng.randint(3, 20), rng.choice([1, 1, -1]), draw_prompt(rng))
        yield action
        last = min(max(frame + action.direction * (action.count - 2), 0), LENGTH - 1) if kind == "track" else frame


def test_a_second_correction_of_a_frame_recalls_the_first(tmp_path: Path) -> None:
    tracker = create(("whole", "recent"), UnspilledTracker)
    tracker.prompt(0, {1: click(30, 20)})
    for frame in range(8):
        tracker.step(frame)
    tracker.prompt(7, {1: click(33, 22)})
    tracker.save(tmp_path / "session")
    read = read_session(tmp_path / "session", tracker.backend, CLIP)
    assert same(tracker.prompt(7, {1: click(34, 24)}), read.prompt(7, {1: click(34, 24)}))


@cache
def run_session(settings: Settings) -> list[tuple[Action, list[Masks]]]:
    """Run a session, and return its actions with the masks that each gave."""
    tracker = create(settings)
    return [(action, action.run(tracker)) for action in draw_actions(SETTINGS.index(settings))]


@pytest.mark.parametrize(
    "create_other",
    [
        lambda settings: create(settings, UnspilledTracker),
        lambda settings: create(settings, RecomputingTracker),
        lambda settings: create(settings, streamed=True),
    ],
    ids=["all in memory", "recomputed", "streamed"],
)
@every_setting
def test_a_session_has_the_masks_of(settings: Settings, create_other: Callable[[Settings], Tracker]) -> None:
    other = create_other(settings)
    for action, expected in run_session(settings):
        assert all_same(action.run(other), expected), action


@every_setting
def test_a_saved_session_continues_with_the_same_masks(settings: Settings, tmp_path: Path) -> None:
    tracker = create(settings)
    for number, (action, expected) in enumerate(run_session(settings)):
        if number % 3 == 2:
            tracker.save(tmp_path / "session")
            tracker = read_session(tmp_path / "session", tracker.backend, CLIP)
        assert all_same(action.run(tracker), expected), action


def describe(track: ObjectTrack) -> dict[str, Any]:
    """Return everything that a track holds, with arrays as bytes."""

    def pack(values: Any) -> dict[int, list[tuple[Any, bytes]]]:
        return {t: [(array.dtype.str, array.tobytes()) for array in values.get_packed(t)] for t in values}

    prompted = {t: track.recent.pack((memory,)) for t, memory in track.prompted.items()}
    return {
        "results": pack(track.results),
        "memories": pack(track.recent),
        "prompted": [(t, [array.tobytes() for array in arrays]) for t, arrays in prompted.items()],
        "prompts": [(t, one.points.tolist(), one.labels.tolist()) for t, one in track.prompts.items()],
        "records": track.records,
        "uncertainties": track.uncertainties,
        "label": track.label,
    }


@every_setting
def test_a_saved_session_is_read_bit_for_bit(settings: Settings, tmp_path: Path) -> None:
    tracker = create(settings)
    tracker.prompt(3, {7: click(30, 20, label="dog"), 4: box(40, 20, 52, 29)})
    for frame in range(3, 30):
        tracker.step(frame)
    tracker.prompt(20, {4: click(45, 25)})
    tracker.save(tmp_path / "session")
    read = read_session(tmp_path / "session", tracker.backend, CLIP)
    assert read.object_ids == (7, 4)
    for key, track in tracker.tracks.items():
        assert describe(read.tracks[key]) == describe(track)
    assert all(same(read.masks(frame), tracker.masks(frame)) for frame in range(LENGTH))


class Run:
    """Propagation through prompts, corrections and frames that are missing, all drawn at random."""

    def __init__(self, seed: int, direction: Direction) -> None:
        rng = random.Random(seed)
        first = {"forward": range(9), "backward": range(LENGTH - 9, LENGTH), "both": range(6, 18)}[direction]
        later = range(16, LENGTH) if direction == "forward" else range(LENGTH - 17, -1, -1)
        self.prompts = {frame: {rng.randint(1, 2): draw_prompt(rng)} for frame in rng.sample(first, 2)}
        self.traversal = plan_traversal(LENGTH, self.prompts, direction=direction)
        self.missing = {*rng.sample(range(LENGTH), 4)} - {*self.prompts}
        self.actions: dict[int, Callable[[Tracker, int], object]] = {}
        if direction != "both":
            key = min(self.prompts[self.traversal.frames[self.traversal.prompted[0]]])
            new, again, corrected = (draw_prompt(rng) for _ in range(3))
            self.actions = {
                later[2]: lambda tracker, frame: tracker.prompt(frame, {5: new}),
                later[5]: lambda tracker, frame: tracker.prompt(frame, {5: again, key: corrected}),
                later[9]: lambda tracker, frame: tracker.prompt(frame, {key: again}),
                later[15]: lambda tracker, frame: tracker.remove_object(5),
            }
            self.missing -= {*self.actions}

    def track(self, tracker: Tracker, *, drops: bool) -> dict[int, Masks]:
        for frame, prompts in self.prompts.items():
            tracker.prompt(frame, prompts)
        visits = (visit for visit in self.traversal.visits(VIDEO) if visit.index not in self.missing)
        needed = retain_for_turn(tracker, self.traversal) if drops else None
        found = {}
        for tracked in propagate(tracker, visits, needed=needed):
            found[tracked.index] = tracked.masks
            if tracked.index in self.actions:
                self.actions[tracked.index](tracker, tracked.index)
        return found


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@every_setting
def test_dropping_memories_that_are_not_recalled_changes_no_mask(settings: Settings, direction: Direction) -> None:
    run, complete, short = Run(2 + SETTINGS.index(settings), direction), create(settings), create(settings)
    expected, found = run.track(complete, drops=False), run.track(short, drops=True)
    assert [*found] == [*expected]
    assert not [frame for frame, masks in expected.items() if not same(found[frame], masks)]
    assert sum(len(track.recent) - len(short.tracks[key].recent) for key, track in complete.tracks.items()) > 9


@every_setting
def test_objects_are_tracked_as_if_each_were_the_only_one(settings: Settings) -> None:
    prompts = {0: {1: click(30, 20), 2: box(40, 20, 52, 29)}, 5: {3: click(24, 24)}, 9: {2: click(44, 24)}}
    together, alone = create(settings), {key: create(settings) for key in (1, 2, 3)}
    for frame in range(20):
        for key, prompt in prompts.get(frame, {}).items():
            alone[key].prompt(frame, {key: prompt})
        if frame in prompts:
            together.prompt(frame, prompts[frame])
        masks = together.step(frame)
        if frame == 15:
            together.remove_object(1)
            del alone[1]
        for key, tracker in alone.items():
            if tracker.tracks:
                one, own = tracker.step(frame), masks.of(key)
                assert np.array_equal(own.binary, one.binary)
                assert np.array_equal(own.scores, one.scores)


def track_with_hypotheses(view: str, kind: type[Tracker] = Tracker) -> Tracker:
    """Track an object with several hypotheses forward from frame 9 to frame 30, settle them, and track backward."""
    tracker = create((view, "sam2long"), kind)
    tracker.prompt(9, {1: box(30, 20, 42, 29)})
    for frame in range(9, 31):
        tracker.step(frame)
    return tracker


@pytest.mark.parametrize("view", VIEWS)
def test_settled_masks_are_those_that_led_to_the_best_hypothesis(view: str) -> None:
    tracker = track_with_hypotheses(view)
    changed = tracker.settle(30)
    track = tracker.tracks[1]
    assert changed
    for frame in range(10, 31):
        (record, *others), (before, *_) = track.records[frame], track.records[frame - 1]
        assert others and record.parent == 0
        assert record.state[0] == pytest.approx(before.state[0] + np.log(record.iou + 1e-5))
        assert tracker.masks(frame).scores[0] == np.float32(record.iou)
    assert tracker.settle(30) == []


@pytest.mark.parametrize("view", VIEWS)
def test_settling_changes_no_mask_on_later_frames(view: str) -> None:
    settled, other, unspilled = (track_with_hypotheses(view, kind) for kind in (Tracker, Tracker, UnspilledTracker))
    assert settled.settle(30) == unspilled.settle(30)
    for frame in range(9, 31):
        assert same(settled.masks(frame), unspilled.masks(frame))
    for frame in range(31, LENGTH):
        assert same(settled.step(frame), other.step(frame))


@pytest.mark.parametrize("view", VIEWS)
def test_settling_one_direction_leaves_the_other(view: str) -> None:
    tracker = track_with_hypotheses(view)
    tracker.settle(30)
    for frame in range(8, -1, -1):
        tracker.step(frame, direction=-1)
    changed = tracker.settle(0, -1)
    assert changed and changed[-1] < 9

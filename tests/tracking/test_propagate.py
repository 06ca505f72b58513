"""Propagation: frames that are corrupt or not tracked, hooks, and callers that intervene between frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from masklet.errors import VideoError
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import click
from masklet.tracking.propagate import OnCorrupt, propagate
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import VisitedFrame, plan_traversal, visit_in_order
from masklet.video import Frame, open_video
from support.fake_backend import FakeBackend
from support.opaque_backend import OpaqueBackend

LENGTH = 12
CLIP = np.random.RandomState(3).randint(0, 256, (LENGTH, 4, 6, 3), np.uint8)


def create_tracker(*prompted: int) -> Tracker:
    """Create a tracker of object 1, prompted on some frames."""
    backend: Any = OpaqueBackend(FakeBackend())
    tracker = Tracker(backend, CLIP)
    for frame in prompted:
        tracker.prompt(frame, {1: click(2, 2)})
    return tracker


def visit(corrupt: Iterable[int] = (), start: int = 0) -> Iterator[VisitedFrame]:
    return visit_in_order(Frame(t, t / 10, CLIP[t], t in corrupt) for t in range(start, LENGTH))


def step_all(tracker: Tracker, without: Iterable[int] = ()) -> dict[int, Masks]:
    return {t: tracker.step(t) for t in range(LENGTH) if t not in without}


def same(a: Masks, b: Masks) -> bool:
    return a.object_ids == b.object_ids and np.array_equal(a.low_res, b.low_res) and np.array_equal(a.scores, b.scores)


def collect(frames: Iterable[TrackedFrame]) -> list[Masks]:
    return [frame.masks for frame in frames]


def test_every_frame_is_yielded_in_order_with_its_time_and_masks() -> None:
    frames = [*propagate(create_tracker(0), visit())]
    assert [(frame.index, frame.time, frame.corrupt) for frame in frames] == [(t, t / 10, False) for t in range(LENGTH)]
    expected = step_all(create_tracker(0))
    assert all(same(frame.masks, expected[frame.index]) for frame in frames)


def test_frames_that_are_not_reached_have_no_masks() -> None:
    traversal = plan_traversal(LENGTH, [4], direction="backward")
    video: Any = open_video(CLIP)
    frames = [*propagate(create_tracker(4), traversal.visits(video))]
    assert [frame.index for frame in frames] == [4, 3, 2, 1, 0, *range(5, LENGTH)]
    assert [len(frame.masks) for frame in frames] == [1] * 5 + [0] * (LENGTH - 5)
    assert frames[-1].masks.size == (4, 6)


@pytest.mark.parametrize("on_corrupt", ["track", "skip", "carry"])
def test_a_corrupt_frame_is_marked_and_later_frames_do_not_recall_it_unless_it_is_tracked(
    on_corrupt: OnCorrupt,
) -> None:
    frames = [*propagate(create_tracker(0), visit({4, 5}), on_corrupt=on_corrupt)]
    assert [frame.index for frame in frames if frame.corrupt] == [4, 5]
    expected = step_all(create_tracker(0), () if on_corrupt == "track" else (4, 5))
    instead = {"track": expected.get(4), "skip": Masks.empty((4, 6)), "carry": expected[3]}[on_corrupt]
    assert instead is not None and same(frames[4].masks, instead)
    assert all(same(frame.masks, expected[frame.index]) for frame in frames if not frame.corrupt)


def test_a_corrupt_frame_before_the_first_result_has_hidden_objects_or_none() -> None:
    (hidden,) = propagate(create_tracker(3), [*visit({0})][:1], on_corrupt="carry")
    assert hidden.masks.object_ids == (1,) and not hidden.masks.areas.any()
    (empty,) = propagate(create_tracker(), [*visit({0})][:1], on_corrupt="carry")
    assert len(empty.masks) == 0


@pytest.mark.parametrize("drops", [False, True])
def test_the_masks_that_a_corrupt_frame_carries_are_those_of_the_nearest_frame_behind_it(drops: bool) -> None:
    tracker = create_tracker(4)
    expected = step_all(create_tracker(4))
    visits = [*visit({2})][3::-1]
    backward = [VisitedFrame(one.position, -1, one.index, one.time, one.size, one.frame) for one in visits]
    needed = (lambda visit: ()) if drops else None
    tracker.step(4)
    frames = [*propagate(tracker, backward, on_corrupt="carry", needed=needed)]
    assert [frame.index for frame in frames] == [3, 2, 1, 0]
    assert same(frames[1].masks, frames[0].masks) and not same(frames[1].masks, expected[2])


@pytest.mark.parametrize("on_corrupt", ["skip", "carry"])
def test_a_corrupt_frame_with_a_prompt_is_tracked(on_corrupt: OnCorrupt) -> None:
    masks = collect(propagate(create_tracker(0, 4), visit({4}), on_corrupt=on_corrupt))
    assert all(map(same, masks, step_all(create_tracker(0, 4)).values()))


def test_a_corrupt_frame_ends_a_propagation_that_refuses_it() -> None:
    frames = propagate(create_tracker(0), visit({4}), on_corrupt="raise")
    with pytest.raises(VideoError, match="frame 4") as caught:
        for expected, frame in enumerate(frames):
            assert frame.index == expected < 4
    assert caught.value.code == "frame-corrupt"


def test_stop_is_called_before_each_frame_and_progress_counts_the_finished_ones() -> None:
    events: list[Any] = []

    def stop() -> bool:
        events.append("stop")
        return len(events) > 8

    for frame in propagate(create_tracker(0), visit(), progress=events.append, stop=stop):
        events.append(frame)
    frames = [event.index if isinstance(event, TrackedFrame) else event for event in events]
    assert frames == ["stop", 0, 1, "stop", 1, 2, "stop", 2, 3, "stop"]


def test_hooks_prompt_a_frame_before_it_is_tracked_and_correct_it_afterwards() -> None:
    tracker, expected = create_tracker(), create_tracker()
    calls: list[tuple[str, int]] = []

    def before(position: int, frame: Frame) -> None:
        calls.append(("before", position))
        if position == 3:
            tracker.prompt(3, {7: click(1, 1)})

    def after(position: int, frame: Frame, masks: Masks) -> Masks:
        assert frame.index == position
        calls.append(("after", position))
        return tracker.prompt(6, {7: click(4, 2)}) if position == 6 else masks

    masks = collect(propagate(tracker, visit({5}), before=before, after=after, on_corrupt="skip"))
    assert calls == [(name, t) for t in range(LENGTH) if t != 5 for name in ("before", "after")]
    assert [len(one) for one in masks] == [0] * 3 + [1] * 2 + [0] + [1] * 6
    expected.prompt(3, {7: click(1, 1)})
    for t in (3, 4, 6):
        before_correction = expected.step(t)
    corrected = expected.prompt(6, {7: click(4, 2)})
    assert same(masks[6], corrected) and not same(corrected, before_correction)
    assert all(same(masks[t], expected.step(t)) for t in range(7, LENGTH))


@pytest.mark.parametrize("drops", [False, True])
def test_a_caller_prompts_corrects_and_removes_objects_between_frames(drops: bool) -> None:
    tracker, expected = create_tracker(0), create_tracker(0)

    def intervene(one: Tracker, frame: int) -> None:
        if frame == 2:
            one.prompt(2, {5: click(1, 3)})
        elif frame == 4:
            one.prompt(4, {1: click(3, 1)})
        elif frame == 6:
            one.remove_object(1)
        elif frame == 8:
            one.remove_object(5)

    needed = (lambda visit: ()) if drops else None
    for frame in propagate(tracker, visit(), needed=needed):
        masks = expected.step(frame.index) if expected.tracks else Masks.empty((4, 6))
        assert same(frame.masks, masks)
        intervene(tracker, frame.index)
        intervene(expected, frame.index)
        if tracker.tracks:
            assert same(tracker.masks(frame.index), expected.masks(frame.index))


def test_a_closed_propagation_leaves_a_tracker_that_continues() -> None:
    tracker = create_tracker(0)
    frames: Any = propagate(tracker, visit(), needed=lambda visit: ())
    assert [next(frames).index for _ in range(5)] == [0, 1, 2, 3, 4]
    frames.close()
    expected = step_all(create_tracker(0))
    assert all(same(tracker.masks(t), expected[t]) for t in range(5))
    assert all(same(frame.masks, expected[frame.index]) for frame in propagate(tracker, visit(start=5)))


@pytest.mark.parametrize("prompted", [0, 4])
def test_with_raise_a_corrupt_frame_is_an_error_even_if_it_is_prompted(prompted: int) -> None:
    frames = propagate(create_tracker(prompted), visit({4}), on_corrupt="raise")
    assert [next(frames).index for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(VideoError, match="frame 4 cannot be decoded"):
        next(frames)

"""Traversal: every frame is visited once, and those that tracking reaches are tracked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masklet.errors import PromptError, SettingsError, StateError
from masklet.tracking.traversal import Direction, Traversal, plan_traversal
from masklet.video import open_video

VIDEO = open_video(np.zeros((30, 8, 8, 3), np.uint8))
directions = st.sampled_from(["forward", "backward", "both"])


def visits(traversal: Traversal, start: int = 0) -> list[tuple[int, int]]:
    """Frame and direction of each visit."""
    return [(visit.index, visit.direction) for visit in traversal.visits(VIDEO, start)]


def test_forward_visits_frames_before_the_first_prompt_untracked() -> None:
    assert visits(plan_traversal(5, [2, 4])) == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1)]


def test_backward_visits_frames_after_the_last_prompt_untracked() -> None:
    assert visits(plan_traversal(5, [1, 2], direction="backward")) == [(2, -1), (1, -1), (0, -1), (3, 0), (4, 0)]


def test_both_goes_forward_from_the_first_prompt_and_then_back() -> None:
    traversal = plan_traversal(5, [2, 3], direction="both")
    assert visits(traversal) == [(2, 1), (3, 1), (4, 1), (1, -1), (0, -1)] and traversal.turn == 3


def test_both_from_the_first_frame_never_turns() -> None:
    assert plan_traversal(5, [0, 3], direction="both").turn is None


def test_positions_of_every_third_frame_have_no_gaps() -> None:
    traversal = plan_traversal(30, [10], start=4, stop=20, every=3)
    assert [visit.index for visit in traversal.visits(VIDEO)] == [4, 7, 10, 13, 16, 19]
    assert [visit.position for visit in traversal.visits(VIDEO)] == [0, 1, 2, 3, 4, 5]


def test_a_prompted_frame_is_visited_in_any_case() -> None:
    assert [visit.index for visit in plan_traversal(10, [4], every=3).visits(VIDEO)] == [0, 3, 4, 6, 9]


@given(st.integers(1, 30), st.data(), directions, st.integers(1, 7))
def test_every_frame_is_visited_once_and_a_traversal_can_start_anywhere(
    length: int, data: st.DataObject, direction: Direction, every: int
) -> None:
    prompted = data.draw(st.sets(st.integers(0, length - 1), min_size=1, max_size=3))
    traversal = plan_traversal(length, prompted, direction=direction, every=every)
    visited = visits(traversal)
    assert sorted(index for index, _ in visited) == sorted({*range(0, length, every), *prompted})
    start = data.draw(st.integers(0, len(traversal)))
    assert visits(traversal, start) == visited[start:]
    positions = [visit.position for visit in traversal.visits(VIDEO)]
    assert all(
        traversal.position_of(index) == position for (index, _), position in zip(visited, positions, strict=True)
    )


@given(st.integers(1, 30), st.data(), directions)
def test_tracked_visits_have_their_frame(length: int, data: st.DataObject, direction: Direction) -> None:
    prompted = data.draw(st.sets(st.integers(0, length - 1), min_size=1, max_size=2))
    for visit in plan_traversal(length, prompted, direction=direction).visits(VIDEO):
        assert (visit.frame is None) == (visit.direction == 0)
        assert visit.frame is None or visit.frame.index == visit.index


def test_a_traversal_without_a_prompt_is_refused() -> None:
    with pytest.raises(StateError, match="nothing to track"):
        plan_traversal(5, [])


@pytest.mark.parametrize("prompted", [[5], [1], [3, 9]])
def test_a_prompt_outside_the_range_is_refused(prompted: list[int]) -> None:
    with pytest.raises(PromptError, match="has a prompt, but the frames that are visited are 2 to 4"):
        plan_traversal(9, prompted, start=2, stop=5)


@pytest.mark.parametrize(("start", "stop", "every"), [(3, 3, 1), (9, None, 1), (-1, None, 1), (0, 2, 0)])
def test_an_empty_range_is_refused(start: int, stop: int | None, every: int) -> None:
    with pytest.raises(SettingsError):
        plan_traversal(9, [0], start=start, stop=stop, every=every)

"""Tracking plans: which frames are tracked, by the cells that exist, and from which masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from masklet.errors import PromptError, SettingsError
from masklet.project.entries import object_key
from masklet.project.project import Project
from masklet.project.tracking_plan import Spans, list_given_masks, plan_retracking, plan_tracking
from support.projects import add_video, set_cells


def show(spans: Spans, frames: int) -> str:
    return "".join("#" if any(t in span for span in spans) else "." for t in range(frames))


@pytest.mark.parametrize(
    ("cells", "direction", "forward", "backward"),
    [
        ("..p...", "forward", "...###", "......"),
        ("..p...", "backward", "......", "##...."),
        ("..p...", "both", "...###", "##...."),
        ("..p.e.", "forward", "...#.#", "......"),
        ("..p.e.", "backward", "......", "##.#.."),
        ("..p.e.", "both", "...#.#", "##...."),  # between two given masks, tracking goes forward
        ("pttttt", "both", ".#####", "......"),  # tracked again
        ("ptTTtt", "both", ".#..##", "......"),  # accepted frames are not
        ("...TT.", "both", ".....#", "###..."),  # but start others
        ("..x.p.", "both", ".....#", "##.#.."),  # an absent object starts nothing, and is not overwritten
        ("...tt.", "both", "......", "......"),
        ("..x...", "both", "......", "......"),
        ("......", "both", "......", "......"),
        ("ppPppE", "both", "......", "......"),
    ],
)
def test_tracking_starts_after_or_before_given_masks(
    project: Project, cells: str, direction: Any, forward: str, backward: str
) -> None:
    medium = add_video(project, 6)
    set_cells(project, medium, {1: cells})
    plan = plan_tracking(project.document, medium, direction=direction)
    assert (show(plan.visited(1), 6), show(plan.visited(-1), 6)) == (forward, backward)
    assert plan.visit_count == (forward + backward).count("#")


def test_a_range_limits_the_plan(project: Project) -> None:
    medium = add_video(project, 10)
    set_cells(project, medium, {1: "....p....."})
    plan = plan_tracking(project.document, medium, start=2, stop=7)
    assert show(plan.spans, 10) == "..##.##..."
    assert plan_tracking(project.document, medium, start=6, direction="backward").objects == ()


@pytest.mark.parametrize("span", [(5, 5), (10, None), (-1, 3), (4, 2)])
def test_a_range_without_frames_is_refused(project: Project, span: Any) -> None:
    medium = add_video(project, 10)
    with pytest.raises(SettingsError, match="no frames to track"):
        plan_tracking(project.document, medium, start=span[0], stop=span[1])


def test_missing_frames_are_those_without_a_cell(project: Project) -> None:
    medium = add_video(project, 12)
    set_cells(project, medium, {1: "..tptt..tt.."})
    plan = plan_tracking(project.document, medium, missing_only=True)
    assert show(plan.visited(1), 12) == "......##..##" and show(plan.visited(-1), 12) == "##.........."


def test_objects_have_frames_of_their_own(project: Project) -> None:
    medium = add_video(project, 10, objects=4)
    set_cells(project, medium, {1: "p", 2: "......p", 4: "p"})
    locked = replace(project.document.object_of(medium, 4), locked=True)
    project.act("lock", {object_key(medium, 4): locked.to_json()})
    plan = plan_tracking(project.document, medium, direction="forward")
    assert [one.object_id for one in plan.objects] == [1, 2]
    assert plan.to_json() == {
        "frames": 9,
        "first": 1,
        "last": 9,
        "objects": [
            {"object": 1, "frames": 9, "first": 1, "last": 9},
            {"object": 2, "frames": 3, "first": 7, "last": 9},
        ],
    }
    assert [one.object_id for one in plan_tracking(project.document, medium, [2, 3, 4]).objects] == [2]
    with pytest.raises(PromptError, match="no object 9"):
        plan_tracking(project.document, medium, [9])


def test_a_correction_recomputes_the_37_frames_from_120_to_156(project: Project) -> None:
    medium = add_video(project, 200)
    set_cells(project, medium, {1: "p" + "t" * 118 + "p" + "t" * 37 + "p" + "t" * 42})
    plan = plan_retracking(project.document, medium, [1], 119)
    assert plan.to_json() == {
        "frames": 37,
        "first": 120,
        "last": 156,
        "objects": [{"object": 1, "frames": 37, "first": 120, "last": 156}],
    }


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("pttpttt...", "....###..."),  # to the end of what was tracked
        ("pttpttTtt.", "....##...."),  # to an accepted frame
        ("pttptttptt", "....###..."),  # to an annotated one
        ("..tpttt...", "..#.###..."),  # also before it, where nothing else can have led there
        ("TttPttt...", "....###..."),
        ("xttpttt...", "....###..."),
        ("...p......", ".........."),  # nothing is tracked yet
        ("pttx......", ".........."),
    ],
)
def test_a_correction_recomputes_the_frames_that_came_from_it(project: Project, cells: str, expected: str) -> None:
    medium = add_video(project, 10)
    set_cells(project, medium, {1: cells})
    assert show(plan_retracking(project.document, medium, None, 3).spans, 10) == expected


@pytest.mark.parametrize(
    ("cells", "span", "direction", "expected"),
    [
        ("p..p.x....", range(6, 10), 1, [0, 3, 5]),
        (".TTTT.T...", range(7, 10), 1, [1, 4, 6]),  # the ends of accepted ranges
        ("ptttt.....", range(5, 10), 1, [0, 4]),  # the mask that is continued
        ("ptthh.....", range(5, 10), 1, [0, 2]),
        ("phhhh.....", range(5, 10), 1, [0]),
        ("ptttt.....", range(2, 10), 1, [0, 1]),  # tracked again from frame 2
        ("pt.tt.....", range(5, 10), 1, [0, 4]),
        (".....ttttp", range(5), -1, [5, 9]),
        (".....ttttp", range(5), 1, [9]),
    ],
)
def test_given_masks_are_annotated_accepted_or_continued(
    project: Project, cells: str, span: range, direction: int, expected: list[int]
) -> None:
    medium = add_video(project, 10)
    set_cells(project, medium, {1: cells})
    given = list_given_masks(project.document, medium, 1, (span,), direction)
    assert [*given] == expected
    assert all((given[t] is None) == (cells[t] in "xhH") for t in given)

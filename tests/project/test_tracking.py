"""Tracking of a project: masks become cells, given ones stay, and every run can be stopped, undone and continued."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.masks.tracked_frame import TrackedFrame
from masklet.memory.policies import parse_memory
from masklet.project.cells import Cell
from masklet.project.entries import object_key
from masklet.project.project import Project
from masklet.project.tracking import plan_retracking, plan_tracking, run_tracking
from masklet.prompts import absent, mask
from masklet.segmenter import Segmenter
from masklet.tracking.tracker import Tracker
from masklet.video import open_video
from support.fake_backend import FakeBackend, VariedBackend
from support.gray_world import GrayWorld
from support.projects import add_video, box_at, draw_frames, read_state, set_cells, show_cells

FRAMES = 12


def run(
    project: Project,
    objects: int = 1,
    model: Segmenter | None = None,
    video: NDArray[np.uint8] | None = None,
    **options: Any,
) -> Iterator[TrackedFrame]:
    """Plan with the given options, and track a video of boxes with a model that segments by gray value."""
    stop, progress = options.pop("stop_when", None), options.pop("progress", None)
    plan = plan_tracking(project.document, 1, **options)
    frames = open_video(draw_frames(FRAMES, objects) if video is None else video)
    return run_tracking(model or Segmenter(GrayWorld()), frames, project, plan, stop=stop, progress=progress)


def check_masks(project: Project, object_id: int = 1) -> None:
    """Compare the masks of all visible cells with the boxes of the video."""
    for frame, cell in project.document.cells.cells_of(1, object_id):
        if cell.visible and cell.mask is not None:
            assert np.array_equal(project.masks(1).read(cell.mask), box_at(object_id, frame)), frame


@pytest.mark.parametrize(
    ("cells", "direction", "expected", "order"),
    [
        ("...p", "forward", "...ptttttttt", [4, 5, 6, 7, 8, 9, 10, 11]),
        ("...p", "backward", "tttp........", [2, 1, 0]),
        ("...p", "both", "tttptttttttt", [4, 5, 6, 7, 8, 9, 10, 11, 2, 1, 0]),
        ("...p..TTT.x.", "both", "tttpttTTTtxt", [4, 5, 9, 11, 2, 1, 0]),
    ],
)
def test_masks_of_the_planned_frames_become_cells(
    project: Project, cells: str, direction: str, expected: str, order: list[int]
) -> None:
    add_video(project, FRAMES)
    set_cells(project, 1, {1: cells})
    counts: list[int] = []
    frames = [frame.index for frame in run(project, direction=direction, progress=counts.append)]
    assert frames == order and counts == [*range(1, len(order) + 1)]
    assert show_cells(project, 1, 1, FRAMES) == expected
    check_masks(project)


def test_a_run_is_one_step_of_undo(project: Project) -> None:
    add_video(project, FRAMES)
    set_cells(project, 1, {1: "...p"})
    before = read_state(project)
    list(run(project))
    after = read_state(project)
    assert project.undo_label == "track"
    project.undo()
    assert read_state(project) == before
    project.redo()
    assert read_state(project) == after


def test_objects_start_on_frames_of_their_own(project: Project) -> None:
    add_video(project, FRAMES, objects=3)
    set_cells(project, 1, {1: "p", 2: ".....e", 3: "........p"})
    counts = {frame.index: frame.masks.object_ids for frame in run(project, 3, direction="forward")}
    assert counts == {t: (1,) + (2,) * (t > 5) + (3,) * (t > 8) for t in range(1, FRAMES)}
    assert show_cells(project, 1, 2, FRAMES) == ".....etttttt"
    check_masks(project, 2)
    check_masks(project, 3)


def test_a_hidden_object_has_an_empty_mask(project: Project) -> None:
    add_video(project, FRAMES)
    set_cells(project, 1, {1: "p"})
    video = draw_frames(FRAMES)
    video[4:7] = 0
    list(run(project, video=video))
    assert show_cells(project, 1, 1, FRAMES) == "pttthhhttttt"


def test_a_run_stops_before_any_frame_and_the_next_one_continues(project: Project) -> None:
    add_video(project, FRAMES)
    set_cells(project, 1, {1: "..p"})
    done: list[int] = []
    list(run(project, stop_when=lambda: len(done) == 3, progress=done.append))
    assert show_cells(project, 1, 1, FRAMES) == "..pttt......"
    frames = run(project, missing_only=True)
    next(frames)
    frames.close()  # as at an interrupt
    assert show_cells(project, 1, 1, FRAMES) == "..ptttt....."
    list(run(project, missing_only=True))
    assert show_cells(project, 1, 1, FRAMES) == "ttpttttttttt"
    check_masks(project)


def test_what_the_user_does_meanwhile_is_not_overwritten(project: Project) -> None:
    add_video(project, FRAMES, objects=3)
    set_cells(project, 1, {1: "p", 2: "p", 3: "p"})
    frames = run(project, 3)
    next(frames)
    project.act("mark_absent", cells={(1, 1, 5): Cell(None, 1.0, "absent"), (1, 1, 7): Cell(0, 1.0, "edit")})
    locked = replace(project.document.object_of(1, 3), locked=True)
    project.act("x", {object_key(1, 2): None, object_key(1, 3): locked.to_json()}, {(1, 2, 0): None, (1, 2, 1): None})
    list(frames)
    assert show_cells(project, 1, 1, FRAMES) == "pttttxtetttt"
    assert show_cells(project, 1, 2, FRAMES) == "." * FRAMES
    assert show_cells(project, 1, 3, FRAMES) == "pt.........."


def test_undo_ends_the_run(project: Project) -> None:
    add_video(project, FRAMES)
    set_cells(project, 1, {1: "p"})
    frames = run(project)
    next(frames)
    project.undo()
    assert [*frames] == [] and show_cells(project, 1, 1, FRAMES) == "p..........."


def test_a_correction_changes_the_frames_of_its_plan_only(project: Project) -> None:
    add_video(project, FRAMES)
    set_cells(project, 1, {1: "ptttptttTttt"})
    before = dict(project.document.cells.cells_of(1, 1))
    plan = plan_retracking(project.document, 1, [1], 4)
    list(run_tracking(Segmenter(GrayWorld()), open_video(draw_frames(FRAMES)), project, plan))
    after = dict(project.document.cells.cells_of(1, 1))
    assert [t for t in after if after[t] != before[t]] == [5, 6, 7]


def test_masks_are_those_of_a_tracker_with_the_same_prompts(project: Project) -> None:
    add_video(project, FRAMES)
    set_cells(project, 1, {1: "..p....p.x"})
    video = np.random.RandomState(5).randint(0, 256, (FRAMES, 40, 60, 3), np.uint8)
    frames = {frame.index: frame.masks for frame in run(project, model=Segmenter(FakeBackend()), video=video)}
    prompts = {2: mask(box_at(1, 2)), 7: mask(box_at(1, 7)), 9: absent()}
    for direction, order in ((1, [3, 4, 5, 6, 8, 10, 11]), (-1, [1, 0])):
        tracker = Tracker(FakeBackend(), open_video(video), length=FRAMES)
        for t, prompt in prompts.items():
            tracker.prompt(t, {1: prompt})
        for t in order:
            expected = tracker.step(t, direction=direction)
            assert np.array_equal(frames[t].low_res, expected.low_res), t
            cell = project.document.cell(1, 1, t)
            assert cell is not None and cell.score == pytest.approx(1 - float(expected.uncertainty[0]), abs=1e-4)
            assert cell.visible == bool(expected.binary.any() and expected.visible[0])


def test_a_frame_recalls_the_eight_nearest_given_masks(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = 45
    add_video(project, frames)
    set_cells(project, 1, {1: "p.." * 15})
    trackers: list[Tracker] = []
    create = Segmenter.tracker
    monkeypatch.setattr(
        Segmenter, "tracker", lambda *args, **options: trackers.append(create(*args, **options)) or trackers[-1]
    )
    for frame in run(project, video=draw_frames(frames)):
        track = trackers[-1].tracks[1]
        nearest = sorted(range(0, frames, 3), key=lambda given, t=frame.index: abs(t - given))  # type: ignore[misc]
        assert len(track.prompts) == 8 and {*nearest[:7]} <= {*track.prompts}
        assert len(track.results) <= 8 + 20  # memory does not grow with the video
    check_masks(project)


def test_a_policy_with_several_hypotheses_revises_its_frames(project: Project) -> None:
    add_video(project, FRAMES)
    set_cells(project, 1, {1: "p"})
    video = np.random.RandomState(5).randint(0, 256, (FRAMES, 40, 60, 3), np.uint8)
    model = Segmenter(VariedBackend(), memory=parse_memory("sam2long"))
    list(run(project, model=model, video=video))
    tracker = Tracker(VariedBackend(), open_video(video), length=FRAMES, memory=model.memory)
    tracker.prompt(0, {1: mask(box_at(1, 0))})
    for t in range(1, FRAMES):
        tracker.step(t)
    assert tracker.settle(FRAMES - 1)
    for t in range(1, FRAMES):
        cell = project.document.cell(1, 1, t)
        assert cell is not None and cell.mask is not None
        expected = tracker.masks(t)
        assert np.array_equal(project.masks(1).read(cell.mask), expected.binary[0] & expected.visible[0]), t

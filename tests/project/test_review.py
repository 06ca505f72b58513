"""Review: the next frame whose tracked mask is probably wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from masklet.project.cells import Cell
from masklet.project.entries import object_key
from masklet.project.project import Project
from masklet.project.review import next_review
from support.gray_world import SIZE
from support.projects import add_video, set_cells


def set_scores(project: Project, object_id: int, scores: dict[int, float]) -> None:
    cells = {
        (1, object_id, t): replace(cell, score=scores.get(t, 0.9))
        for t, cell in project.document.cells.cells_of(1, object_id)
    }
    project.act("x", cells=cells)


@pytest.fixture
def tracked(project: Project) -> Project:
    """Two objects on 12 frames; the second one is hidden on frames 8 and 9."""
    add_video(project, 12, objects=2)
    set_cells(project, 1, {1: "pttttttttttt", 2: "ptttttttXhht"})
    set_scores(project, 1, {3: 0.4, 4: 0.2, 5: 0.3, 10: 0.1})
    return project


def test_the_worst_frame_of_a_run_is_next(tracked: Project) -> None:
    assert next_review(tracked, 1, 0) == (4, 1, "low_score")
    assert next_review(tracked, 1, 4) == (10, 1, "low_score")
    assert next_review(tracked, 1, 10) is None
    assert next_review(tracked, 1, 11, backward=True) == (10, 1, "low_score")
    assert next_review(tracked, 1, 10, backward=True) == (4, 1, "low_score")
    assert next_review(tracked, 1, 4, backward=True) is None


def test_a_lost_object_is_suggested_where_it_disappears(project: Project) -> None:
    add_video(project, 12)
    set_cells(project, 1, {1: "ptttthhhtttt"})
    assert next_review(project, 1, 0) == (5, 1, "disappeared")
    assert next_review(project, 1, 5) is None


def test_a_jump_of_the_area_is_suggested(project: Project) -> None:
    add_video(project, 6)
    set_cells(project, 1, {1: "pttttt"})
    large = np.zeros(SIZE, bool)
    large[:20, :20] = True
    project.act("x", cells={(1, 1, 3): Cell(project.masks(1).add(large), 1.0, "track")})
    assert next_review(project, 1, 0) == (3, 1, "area_jump")


def test_accepted_annotated_and_hidden_ones_are_not_suggested(tracked: Project) -> None:
    cells = {(1, 1, t): Cell(1, 0.1, "edit") for t in (3, 4, 5)}
    tracked.act("x", cells={**cells, (1, 1, 10): Cell(1, 0.1, "track", accepted=True)})
    assert next_review(tracked, 1, 0) is None
    set_scores(tracked, 2, {6: 0.1})
    assert next_review(tracked, 1, 0) == (6, 2, "low_score")
    hidden = replace(tracked.document.object_of(1, 2), hidden=True)
    tracked.act("x", {object_key(1, 2): hidden.to_json()})
    assert next_review(tracked, 1, 0) is None


def test_nothing_is_suggested_without_masks(project: Project) -> None:
    add_video(project, 12)
    assert next_review(project, 1, 0) is None

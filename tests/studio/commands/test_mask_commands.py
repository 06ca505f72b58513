"""Brush, polygons, clearing, accepting and absent objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from masklet.errors import MaskletError
from support.studio_session import FIRST, FRAMES, SECOND, VIDEO, Session, make_mask


def select(medium: int = VIDEO, objects: tuple[int, ...] = (1,), start: int = 0, stop: int = FRAMES) -> dict[str, Any]:
    return {"medium": medium, "objects": [*objects], "start": start, "stop": stop}


def test_painting_makes_an_object_and_changes_it(session: Session) -> None:
    class_id = session.run("add_class", fields={"name": "cup"})["class"]
    fields = {"medium": FIRST, "frame": 0}
    reply = session.paint(make_mask(80), **fields, object=None, **{"class": class_id})
    assert reply == {"object": 1, "seq": session.project.seq}
    assert session.project.document.object_of(FIRST, 1).class_id == class_id
    session.paint(make_mask(160), **fields, object=1)
    cell = session.cell(1)
    assert (session.mask(1) == make_mask(160)).all() and (cell.source, cell.score) == ("edit", 1.0)
    session.run("undo")
    assert (session.mask(1) == make_mask(80)).all()


def test_a_large_mask_is_sent_reduced_and_painted_at_full_size(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("masklet.studio.displayed_masks.reduce_size.__defaults__", (30,))
    small = np.zeros((20, 30), bool)
    small[5:10, 10:20] = True
    session.run("show", medium=FIRST, frame=0)
    session.paint(small, medium=FIRST, frame=0, object=None)
    assert (session.mask(1) == small.repeat(2, 0).repeat(2, 1)).all()
    session.wait_for(lambda: session.client.list_binaries("masks")[-1][0]["masks"])
    assert (session.client.last_masks()[1] == small).all()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"size": [41, 60]}, "must be of size [40, 60], got [41, 60]"),
        ({"size": [20, 30]}, "must be of size [40, 60]"),
        ({"object": 2}, "object 2 is locked"),
        ({"object": 9}, "no object 9"),
        ({"frame": 1}, "no frame 1"),
        ({"class": 7}, "no class 7"),
        ({"more": 7}, "/more is not an argument"),
        ({"command": "clear"}, "no binary command"),
        ({"medium": "x"}, "/medium must be"),
    ],
)
def test_invalid_paintings_are_refused(unchanged: Session, header: dict[str, Any], message: str) -> None:
    seq = unchanged.project.seq
    with pytest.raises(MaskletError) as caught:
        unchanged.paint(make_mask(80), **{"medium": FIRST, "frame": 0, "object": None, **header})
    assert message in caught.value.message and unchanged.project.seq == seq


def test_polygons_are_traced_edited_and_stored(session: Session) -> None:
    session.paint(make_mask(80), medium=FIRST, frame=0, object=None)
    fields = {"medium": FIRST, "frame": 0, "object": 1}
    (outline,) = session.run("get_polygons", **fields, tolerance=0)["polygons"]
    assert sorted(outline) == [[6, 6], [6, 15], [15, 6], [15, 15]]
    session.run("set_polygons", **fields, polygons=[[[20, 20], [30, 20], [30, 30], [20, 30]]])
    mask = session.mask(1)
    assert mask[20:30, 20:30].all() and mask.sum() == 100 and session.cell(1).source == "edit"
    session.run("set_polygons", **fields, polygons=[])
    assert session.run("get_polygons", **fields, tolerance=1.5) == {"polygons": []}
    session.run("mark_absent", **select(FIRST))
    assert session.run("get_polygons", **fields, tolerance=1.5) == {"polygons": []}


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("get_polygons", {"tolerance": -1.0}),
        ("get_polygons", {"tolerance": float("inf")}),
        ("get_polygons", {"tolerance": 1, "object": 9}),
        ("set_polygons", {"polygons": [[[1, 1], [2, 2]]]}),
        ("set_polygons", {"polygons": [[[1, 1], [2, 2], [1, "x"]]]}),
        ("set_polygons", {"polygons": [], "object": 2}),
        ("set_polygons", {"polygons": [], "object": None}),
    ],
)
def test_invalid_polygons_are_refused(unchanged: Session, command: str, arguments: dict[str, Any]) -> None:
    unchanged.refuse(command, **{"medium": FIRST, "frame": 0, "object": 1, **arguments})


def test_too_many_vertices_are_refused(unchanged: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("masklet.studio.commands.masks._MAX_VERTICES", 5)
    fields = {"medium": FIRST, "frame": 0, "object": 1, "polygons": [[[1, 1], [2, 2], [1, 2]]] * 2}
    assert "at most 5 vertices together" in unchanged.refuse("set_polygons", "bad-request", **fields)


def fill(session: Session) -> None:
    """Make two objects with masks on all frames of the video, the first with a prompt on frame 2."""
    for object_id in (None, None):
        session.paint(make_mask(80), medium=VIDEO, frame=0, object=object_id)
    for frame in range(1, FRAMES):
        for object_id in (1, 2):
            session.paint(make_mask(80, frame), medium=VIDEO, frame=frame, object=object_id)
    session.click(80, VIDEO, 2, 1)


def list_frames(session: Session, object_id: int) -> list[int]:
    return session.project.document.cells.frames_of(VIDEO, object_id).tolist()


def test_clearing_leaves_accepted_masks_and_other_frames_and_objects(session: Session) -> None:
    fill(session)
    session.run("accept", **select(start=3, stop=4), accepted=True)
    reply = session.run("clear", **select(start=1, stop=5))
    assert reply["seq"] == session.project.seq
    assert list_frames(session, 1) == [0, 3, 5] and list_frames(session, 2) == [*range(FRAMES)]
    assert session.project.document.prompts_of(VIDEO, 1) == {}
    session.run("undo")
    assert list_frames(session, 1) == [*range(FRAMES)] and [*session.project.document.prompts_of(VIDEO, 1)] == [2]
    session.run("accept", **select(start=2, stop=3), accepted=True)
    session.run("clear", **select(stop=10**9))
    assert list_frames(session, 1) == [2, 3] and [*session.project.document.prompts_of(VIDEO, 1)] == [2]


def test_accepting_marks_the_frames_that_have_a_mask(session: Session) -> None:
    session.paint(make_mask(80), medium=VIDEO, frame=2, object=None)
    session.run("accept", **select(), accepted=True)
    assert session.cell(1, VIDEO, 2).accepted and list_frames(session, 1) == [2]
    assert session.project.undo_label == "accept"
    session.run("accept", **select(), accepted=False)
    assert not session.cell(1, VIDEO, 2).accepted


def test_absent_objects_have_no_mask_and_no_prompt(session: Session) -> None:
    fill(session)
    session.run("mark_absent", **select(start=2, stop=4))
    cells = [session.cell(1, VIDEO, frame) for frame in range(FRAMES)]
    assert [cell.source for cell in cells] == ["edit", "edit", "absent", "absent", "edit", "edit"]
    assert cells[2].mask is None and session.project.document.prompts_of(VIDEO, 1) == {}


def test_locked_objects_among_others_are_left_out(session: Session) -> None:
    fill(session)
    session.run("change_object", medium=VIDEO, object=2, fields={"locked": True})
    session.run("clear", **select(objects=(1, 2)))
    assert list_frames(session, 1) == [] and list_frames(session, 2) == [*range(FRAMES)]


@pytest.mark.parametrize("command", ["clear", "mark_absent", "accept"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"objects": [9]}, "no object 9"),
        ({"start": 1}, "has no frames from 1"),
        ({"start": 0, "stop": 0}, "has no frames from 0 to before 0"),
        ({"medium": 9}, "no image or video 9"),
        ({"objects": 1}, "/objects must be a list"),
        ({"stop": None}, "/stop must be a whole number"),
    ],
)
def test_invalid_selections_are_refused(
    unchanged: Session, command: str, changed: dict[str, Any], message: str
) -> None:
    more = {"accepted": True} if command == "accept" else {}
    assert message in unchanged.refuse(command, **{**select(FIRST), **more, **changed})


def test_too_many_masks_at_once_are_refused(unchanged: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("masklet.studio.commands.masks.MAX_CELLS", 0)
    assert "over 0 masks" in unchanged.refuse("mark_absent", "bad-request", **select(FIRST))


def test_a_change_of_nothing_is_no_change(session: Session) -> None:
    seq = session.project.seq
    assert session.run("clear", **select(SECOND, ())) == {"seq": seq}

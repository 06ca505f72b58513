"""Objects and classes."""

from __future__ import annotations

from typing import Any

import pytest

from support.studio_session import FIRST, OTHER, SECOND, VIDEO, Session, make_mask


def test_objects_are_added_changed_and_removed(session: Session) -> None:
    class_id = session.run("add_class", fields={"name": "cup", "attributes": ["state"]})["class"]
    added = session.run("add_object", medium=FIRST, fields={"name": "mine", "class": class_id})
    assert added == {"object": 1, "seq": session.project.seq}
    fields = {"color": "#102030", "hidden": True, "attributes": {"state": "full"}}
    session.run("change_object", medium=FIRST, object=1, fields=fields)
    one = session.project.document.object_of(FIRST, 1)
    assert (one.name, one.class_id, one.color, one.hidden) == ("mine", class_id, "#102030", True)
    assert one.attributes == {"state": "full"}
    session.click(80, object_=1)
    session.run("remove_objects", medium=FIRST, objects=[1])
    document = session.project.document
    assert document.objects_of(FIRST) == {} and session.cell(1) is None and document.prompt(FIRST, 1, 0) is None
    session.run("undo")
    assert session.cell(1).visible and document.prompt(FIRST, 1, 0) is not None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"color": "red"}, "#rrggbb"),
        ({"class": 4}, "no class 4"),
        ({"name": "a\nb"}, "printable"),
        ({"id": 4}, "/fields/id is not a field"),
        ({"attributes": {"a": 1}}, "/fields/attributes/a must be a text"),
    ],
)
def test_invalid_objects_are_refused(unchanged: Session, fields: dict[str, Any], message: str) -> None:
    assert message in unchanged.refuse("add_object", medium=FIRST, fields=fields)
    assert message in unchanged.refuse("change_object", medium=FIRST, object=1, fields=fields)


def test_unknown_and_locked_objects_are_refused(unchanged: Session) -> None:
    assert "no image or video 9" in unchanged.refuse("add_object", medium=9, fields={})
    assert "no object 9" in unchanged.refuse("change_object", medium=FIRST, object=9, fields={})
    assert "no object 9" in unchanged.refuse("remove_objects", medium=FIRST, objects=[1, 9])
    assert "object 2 is locked" in unchanged.refuse("remove_objects", medium=FIRST, objects=[2])


def copy(session: Session, **changed: int) -> dict[str, Any]:
    return {"medium": FIRST, "frame": 0, "objects": [1], "to_medium": SECOND, "to_frame": 0, **changed}


def test_objects_are_copied_to_another_image_as_new_ones(session: Session) -> None:
    session.paint(make_mask(80), medium=FIRST, frame=0, object=None)
    session.run("change_object", medium=FIRST, object=1, fields={"name": "mine", "locked": True})
    session.run("add_object", medium=FIRST, fields={})  # without a mask
    session.run("add_object", medium=SECOND, fields={})
    reply = session.run("copy_objects", **{**copy(session), "objects": [1, 2]})
    assert reply == {"objects": [2], "seq": session.project.seq}
    assert (session.mask(2, SECOND) == make_mask(80)).all() and session.cell(2, SECOND).source == "edit"
    one = session.project.document.object_of(SECOND, 2)
    assert one.name == "mine" and not one.locked


def test_objects_of_a_video_are_copied_to_another_frame(session: Session) -> None:
    session.paint(make_mask(80), medium=VIDEO, frame=0, object=None)
    reply = session.run("copy_objects", **copy(session, medium=VIDEO, to_medium=VIDEO, to_frame=3))
    assert reply["objects"] == [1] and (session.mask(1, VIDEO, 3) == make_mask(80)).all()
    session.run("mark_absent", medium=VIDEO, objects=[1], start=3, stop=4)
    session.run("copy_objects", **copy(session, medium=VIDEO, frame=3, to_medium=VIDEO, to_frame=4))
    assert session.cell(1, VIDEO, 4).source == "absent"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"to_medium": OTHER}, "images of the same size only, not from 60 × 40 to 60 × 41"),
        ({"to_medium": FIRST}, "to the frame that they are on"),
        ({"to_frame": 1}, "no frame 1"),
        ({"medium": SECOND, "objects": []}, "none of these objects has a mask"),
        ({"objects": [9]}, "no object 9"),
    ],
)
def test_invalid_copies_are_refused(unchanged: Session, changed: dict[str, Any], message: str) -> None:
    base = copy(unchanged) if "medium" not in changed else copy(unchanged, to_medium=VIDEO)
    assert message in unchanged.refuse("copy_objects", **{**base, **changed})


def test_classes_are_added_changed_and_removed(session: Session) -> None:
    cup = session.run("add_class", fields={"name": "cup", "digit": 1})["class"]
    pot = session.run("add_class", fields={"name": "pot", "color": "#000000", "digit": 1})["class"]
    classes = session.project.document.classes()
    assert (classes[cup].digit, classes[pot].digit, classes[pot].color) == (None, 1, "#000000")
    assert session.project.document.classes()[cup].color != "#000000"
    session.run("change_class", **{"class": cup}, fields={"name": "mug", "attributes": ["state"]})
    assert session.project.document.classes()[cup].attributes == ("state",)
    session.run("predict", medium=FIRST, frame=0, object=None, points=[[10, 10, 1]], box=None, **{"class": cup})
    assert session.project.document.label_of(FIRST, 1) == "mug"
    session.settle()  # else the mask would be an action after the next one
    session.run("remove_class", **{"class": cup})
    assert [*session.project.document.classes()] == [pot]
    assert session.project.document.object_of(FIRST, 1).class_id is None
    session.run("undo")
    assert session.project.document.object_of(FIRST, 1).class_id == cup


def test_invalid_classes_are_refused(session: Session) -> None:
    session.run("add_class", fields={"name": "cup"})
    second = {"class": session.run("add_class", fields={"name": "pot"})["class"]}
    assert "/fields/name is missing" in session.refuse("add_class", fields={"digit": 3})
    for fields, message in (
        ({"name": "cup"}, "must be unique"),
        ({"name": "x", "digit": 10}, "null or 1 to 9"),
        ({"name": "x", "attributes": [""]}, "attribute of a class"),
        ({"name": " "}, "name of a class"),
        ({"name": None}, "/fields/name must be a text"),
    ):
        assert message in session.refuse("add_class", "bad-request", fields=fields)
        assert message in session.refuse("change_class", "bad-request", **second, fields=fields)
    for command, fields in (("change_class", {"fields": {}}), ("remove_class", {})):
        assert "no class 9" in session.refuse(command, **{"class": 9}, **fields)

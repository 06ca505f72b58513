"""Proposals of a detector: objects of the classes that a text names."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from masklet.errors import BackendError, InputNotFound
from masklet.studio.text_prompts import TextPrompts
from support.gray_detector import GrayDetector, make_gray_detector
from support.studio_session import FIRST, VIDEO, Session, make_mask

PLACE = {"medium": FIRST, "frame": 0}


def use_detector(session: Session, prompts: TextPrompts | None) -> None:
    """Give the studio another detector."""
    workspace = dataclasses.replace(session.studio._workspace, text_prompts=prompts)
    for handler in session.studio._handlers.values():
        handler.__self__._workspace = workspace  # type: ignore[attr-defined]


def test_what_a_text_names_is_proposed_and_its_classes_are_made(session: Session) -> None:
    assert session.run("hello")["detector"] == "gray"
    cup = session.run("add_class", fields={"name": "cup"})["class"]
    assert session.run("detect", **PLACE, text="cup, plate, cup") == {}
    ((header, _),) = session.client.list_binaries("proposals")
    assert [(one["label"], round(one["detection_score"], 3)) for one in header["masks"]] == [
        ("cup", 0.9),
        ("plate", 0.9),
    ]
    masks = session.client.last_masks("proposals")
    assert (masks[0] == make_mask(80)).all() and (masks[1] == make_mask(160)).all()
    seq = session.project.seq
    reply = session.run("take_proposals", **PLACE, indices=[0, 1], **{"class": cup})
    document = session.project.document
    assert [document.label_of(FIRST, one) for one in reply["objects"]] == ["cup", "plate"]
    assert {number: one.name for number, one in document.classes().items()} == {cup: "cup", cup + 1: "plate"}
    assert (session.mask(2) == make_mask(160)).all() and session.cell(2).source == "propose"
    session.run("undo")
    assert session.project.seq > seq and [one.name for one in document.classes().values()] == ["cup"]


def test_known_objects_are_not_proposed_again(session: Session) -> None:
    session.run("detect", **PLACE, text="cup, plate")
    session.run("take_proposals", **PLACE, indices=[0])
    session.run("detect", **PLACE, text="cup, plate")
    header, _ = session.client.list_binaries("proposals")[-1]
    assert [one["label"] for one in header["masks"]] == ["plate"]
    session.paint(make_mask(160), **PLACE, object=None)  # without a class, it may be anything
    session.run("detect", **PLACE, text="cup, plate")
    header, _ = session.client.list_binaries("proposals")[-1]
    assert header["masks"] == []


def test_every_frame_of_a_video_is_searched(session: Session) -> None:
    session.run("detect", medium=VIDEO, frame=3, text="cup")
    assert (session.client.last_masks("proposals")[0] == make_mask(80, 3)).all()


def test_many_boxes_are_segmented_in_steps(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [(x, y, x + 5, y + 5) for y in range(0, 35, 6) for x in range(0, 55, 6)]
    monkeypatch.setattr(
        GrayDetector, "__call__", lambda self, image: (boxes, ["cup"] * len(boxes), np.ones(len(boxes)))
    )
    session.run("detect", **PLACE, text="cup")
    header, _ = session.client.list_binaries("proposals")[-1]
    assert 1 < len(header["masks"]) < len(boxes)  # equal masks are proposed once
    assert session.backend.decoded > len(boxes) // 8


@pytest.mark.parametrize(
    ("returned", "code", "message"),
    [
        (([(0, 0, np.nan, 5)], ["cup"], [0.5]), "bad-detections", "not of finite numbers"),
        (([(90, 0, 95, 5)], ["cup"], [0.5]), "bad-detections", "outside the image"),
        (([(0, 0, 9, 5)], [], [0.5]), "bad-detections", "0 labels"),
        (None, "bad-detections", "got NoneType"),
    ],
)
def test_invalid_detections_are_a_problem(
    session: Session, monkeypatch: pytest.MonkeyPatch, returned: Any, code: str, message: str
) -> None:
    monkeypatch.setattr(GrayDetector, "__call__", lambda self, image: returned)
    assert message in session.refuse("detect", code, **PLACE, text="cup")
    assert session.client.list_binaries("proposals") == []


def test_a_studio_without_a_detector_says_so(session: Session) -> None:
    use_detector(session, None)
    assert session.run("hello")["detector"] is None
    assert "--detector" in session.refuse("detect", "backend-missing", **PLACE, text="cup")


def test_a_detector_is_loaded_once_and_again_after_a_failure(session: Session) -> None:
    loads: list[int] = []

    def load() -> Any:
        loads.append(1)
        if len(loads) == 1:
            raise InputNotFound("input-not-found", "there is no folder x")
        return make_gray_detector

    use_detector(session, TextPrompts("x", load, min_score=0.95))
    assert "no folder x" in session.refuse("detect", "input-not-found", **PLACE, text="cup")
    for _ in range(2):
        session.run("detect", **PLACE, text="cup")
    assert len(loads) == 2 and session.client.list_binaries("proposals")[-1][0]["masks"] == []  # 0.9 is below 0.95


def test_a_detector_that_fails_is_a_problem(session: Session) -> None:
    def fail(classes: Any) -> Any:
        raise BackendError("detector-failed", "no memory")

    use_detector(session, TextPrompts("x", lambda: fail))
    assert session.refuse("detect", "detector-failed", **PLACE, text="cup") == "no memory"

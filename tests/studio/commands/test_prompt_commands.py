"""Clicks and boxes: masks, refinement, candidates, undo, and results that come too late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from masklet.errors import MaskletError
from masklet.project.entries import object_key
from support.gray_world import draw_boxes
from support.studio_session import CENTERS, FIRST, VIDEO, Session, make_boxes, make_mask

OBJECT, WITH_BRIGHTER, ALL = (
    make_mask(80),
    make_mask(80) | make_mask(160) | make_mask(240),
    draw_boxes(make_boxes())[..., 0] > 0,
)
X, Y = CENTERS[160]


def predict(session: Session, points: list[Any], object_: int | None = None, **arguments: Any) -> int:
    fields = {"medium": FIRST, "frame": 0, "box": None, **arguments}
    return int(session.run("predict", object=object_, points=points, **fields)["object"])


def test_a_click_makes_an_object_with_a_mask(session: Session) -> None:
    reply = session.run("predict", medium=FIRST, frame=0, object=None, points=[[X, Y, 1]], box=None)
    assert reply["object"] == 1
    session.settle()
    assert (session.mask(1) == make_mask(160) | make_mask(240)).all()  # the candidate with the highest score
    cell, prompt = session.cell(1), session.project.document.prompt(FIRST, 1, 0)
    assert cell.source == "prompt" and not cell.accepted and cell.score == pytest.approx(0.9 * 0.731 / 0.9, abs=0.2)
    assert prompt.points == ((X, Y, 1),) and prompt.candidate is None
    first, second = session.client.list_events("changes")
    assert first["seq"] == reply["seq"] and set(first["entries"]) == {f"object/{FIRST}/1", f"prompt/{FIRST}/1/0"}
    assert second["cells"] == [[FIRST, 1, 0, cell.to_byte()]] and second["undo"] == "prompt"
    session.run("undo")
    assert session.project.document.objects_of(FIRST) == {} and session.cell(1) is None


def test_a_mask_that_may_be_wrong_is_reported_to_the_client_that_clicked(session: Session) -> None:
    other = session.add_client()
    session.click(160)
    assert session.client.list_events("warning") == []
    for medium, name in ((FIRST, "object 2"), (VIDEO, "object 1 on frame 2")):
        frame = 2 if medium == VIDEO else 0
        object_id = predict(session, [[X, Y, 1], [X + 1, Y, 0]], medium=medium, frame=frame)
        session.settle()
        event = session.client.list_events("warning")[-1]
        assert event["message"].startswith(f"{name}: the prompt finds almost nothing, no pixel; click on")
        assert event["code"] == "tiny-mask"
        assert (event["medium"], event["frame"], event["object"]) == (medium, frame, object_id)
    assert len(session.client.list_events("warning")) == 2 and not other.list_events("warning")


def test_a_box_is_predicted_without_candidates(session: Session) -> None:
    object_id = predict(session, [], box=[X - 5, Y - 5, X + 5, Y + 5])
    session.settle()
    assert (session.mask(object_id) == make_mask(160)).all()


def test_a_further_point_refines_the_mask_that_is_shown(session: Session) -> None:
    object_id = session.click(160)
    assert session.backend.refined == 0
    predict(session, [[X, Y, 1], [X + 1, Y, 1]], object_id)
    session.settle()
    assert session.backend.refined == 1
    assert (session.mask(object_id) == make_mask(160)).all()


def test_a_moved_point_is_predicted_afresh(session: Session) -> None:
    object_id = session.click(160)
    predict(session, [[X + 1, Y, 1], [X, Y, 1]], object_id)
    session.settle()
    assert session.backend.refined == 0


@pytest.mark.parametrize("source", ["painted", "copied"])
def test_a_mask_from_elsewhere_is_refined(session: Session, source: str) -> None:
    mask = np.zeros_like(OBJECT)
    mask[2:9, 3:12] = True
    object_id = session.paint(mask, medium=FIRST, frame=0, object=None)["object"]
    medium, frame = FIRST, 0
    if source == "copied":
        medium, frame = VIDEO, 3
        fields = {"medium": FIRST, "frame": 0, "objects": [object_id], "to_medium": VIDEO, "to_frame": 3}
        (object_id,) = session.run("copy_objects", **fields)["objects"]
    predict(session, [[X, Y, 0]], object_id, medium=medium, frame=frame)
    session.settle()
    assert session.backend.refined == 1
    assert session.cell(object_id, medium, frame).source == "prompt"


def test_the_candidates_of_a_click_are_chosen_at_once_the_best_first(session: Session) -> None:
    object_id = session.click(80)
    decoded = session.backend.decoded
    for candidate, expected in ((1, ALL), (2, OBJECT), (0, WITH_BRIGHTER)):
        reply = session.run("choose_candidate", medium=FIRST, frame=0, object=object_id, candidate=candidate)
        assert reply["candidate"] == candidate
        assert (session.mask(object_id) == expected).all()
        assert session.project.document.prompt(FIRST, object_id, 0).candidate == candidate
    assert session.backend.decoded == decoded
    session.run("undo")
    assert (session.mask(object_id) == OBJECT).all()


def test_a_candidate_that_is_not_known_any_more_is_predicted(session: Session) -> None:
    first, second = session.click(80), session.click(160)
    session.studio._workspace.predictions._candidates.put((FIRST, second, 0), None, 1 << 40)  # it drops the others
    session.run("choose_candidate", medium=FIRST, frame=0, object=first, candidate=2)
    session.settle()
    assert (session.mask(first) == OBJECT).all()
    session.run("undo")
    assert (session.mask(first) == WITH_BRIGHTER).all()


def test_twenty_rapid_clicks_end_with_the_last_and_are_undone_one_by_one(session: Session) -> None:
    object_id = predict(session, [[X, Y, 1]])
    session.settle()
    before = session.backend.decoded
    session.backend.close_gate()
    points = [[X, Y, 1]]
    for step in range(1, 20):
        points = [*points, [X + step / 10, Y, 1]]
        predict(session, points, object_id)
    session.backend.gate.set()
    session.settle()
    assert session.backend.decoded - before <= 2  # the first that waited, and the last
    assert (session.mask(object_id) == make_mask(160)).all()
    prompts = [len(session.project.document.prompt(FIRST, object_id, 0).points)]
    while session.project.undo_label == "prompt":
        session.run("undo")
        prompt = session.project.document.prompt(FIRST, object_id, 0)
        prompts.append(0 if prompt is None else len(prompt.points))
    assert prompts == [*range(20, -1, -1)]
    for _ in range(20):
        session.run("redo")
    assert (session.mask(object_id) == make_mask(160)).all()


@pytest.mark.parametrize("change", ["undo", "clear", "paint", "remove_objects"])
def test_a_result_is_dropped_if_the_user_changed_the_prompt_or_the_mask(session: Session, change: str) -> None:
    object_id = session.click(80)
    session.backend.close_gate()
    predict(session, [[X, Y, 1]], object_id)
    assert session.backend.waiting.wait(60)
    mask = make_mask(240)
    if change == "paint":
        session.paint(mask, medium=FIRST, frame=0, object=object_id)
    elif change == "clear":
        session.run("clear", medium=FIRST, objects=[object_id], start=0, stop=1)
    elif change == "remove_objects":
        session.run("remove_objects", medium=FIRST, objects=[object_id])
    else:
        session.run("undo")
    seq = session.project.seq
    session.backend.gate.set()
    session.settle()
    assert session.project.seq == seq
    expected = {"undo": WITH_BRIGHTER, "paint": mask}.get(change)
    found = session.mask(object_id)
    assert found is None if expected is None else (found == expected).all()


def test_a_click_and_its_mask_are_one_action_although_another_comes_between(session: Session) -> None:
    session.backend.close_gate()
    object_id = predict(session, [[X, Y, 1]])
    assert session.backend.waiting.wait(60)
    session.run("change_object", medium=FIRST, object=object_id, fields={"name": "fish"})
    session.backend.gate.set()
    session.settle()
    assert session.mask(object_id).any()
    session.run("undo")
    entry = session.project.document.entry(object_key(FIRST, object_id))
    assert session.mask(object_id).any() and entry is not None and not entry["name"]
    session.run("undo")
    assert session.project.document.entry(object_key(FIRST, object_id)) is None


def test_settle_waits_until_the_masks_of_all_prompts_were_sent(session: Session) -> None:
    session.backend.close_gate()
    objects = [predict(session, [[*CENTERS[gray], 1]]) for gray in (80, 160)]
    with ThreadPoolExecutor(1) as pool:
        settled = pool.submit(session.run, "settle", medium=FIRST)
        session.run("settle", medium=VIDEO)  # at once
        assert session.backend.waiting.wait(60) and not settled.done()
        session.backend.gate.set()
        settled.result(60)
    cells = [cell for event in session.client.list_events("changes") for cell in event["cells"]]
    assert [object_id for _, object_id, *_ in cells] == objects


def test_the_error_of_a_prediction_is_reported_to_its_client(session: Session) -> None:
    other = session.add_client()
    session.backend.error = RuntimeError("out of memory")
    object_id = session.click(80)
    (event,) = session.client.list_events("problem")
    assert event["command"] == "predict" and event["object"] == object_id and event["problem"]["code"] == "internal"
    assert other.list_events("problem") == []
    session.backend.error = None
    predict(session, [[X, Y, 1]], object_id)
    session.settle()
    assert session.mask(object_id).any()


def test_an_empty_mask_is_stored(session: Session) -> None:
    object_id = session.click(80)
    predict(session, [[X, Y, 1], [X, Y, 0]], object_id)
    session.settle()
    cell = session.cell(object_id)
    assert cell.source == "prompt" and cell.mask == 0
    assert session.client.list_events("changes")[-1]["cells"] == [[FIRST, object_id, 0, cell.to_byte()]]


def test_a_hover_sends_a_preview_to_its_client(session: Session) -> None:
    other = session.add_client()
    assert session.run("hover", medium=FIRST, frame=0, point=[X, Y], turn=7) == {}
    session.wait_for(lambda: session.client.list_binaries("preview"))
    ((header, _),) = session.client.list_binaries("preview")
    assert header["turn"] == 7 and header["size"] == [40, 60]
    assert (session.client.last_masks("preview")[0] == make_mask(160) | make_mask(240)).all()
    assert other.binaries == [] and session.project.seq == 2  # nothing is saved


def test_of_waiting_hovers_only_the_last_is_predicted(session: Session) -> None:
    session.backend.close_gate()
    for turn in range(5):
        session.run("hover", medium=FIRST, frame=0, point=[X, Y], turn=turn)
    session.backend.gate.set()
    session.settle()
    turns = [header["turn"] for header, _ in session.client.list_binaries("preview")]
    assert turns[-1] == 4 and len(turns) <= 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"points": [[61, 10, 1]]}, "bad-prompt", "lies outside the image"),
        ({"points": [[10, 10, 0]]}, "bad-prompt", "there is no mask that the negative points could refine"),
        ({"points": []}, "bad-prompt", "at least one point or a box"),
        ({"box": [20, 10, 10, 20]}, "bad-prompt", "x0 < x1"),
        ({"points": [[10, 10, 1]] * 1001}, "bad-prompt", "points of a prompt"),
        ({"points": [[float("nan"), 10, 1]]}, "bad-request", "/points/0/0"),
        ({"object": 9}, "unknown-object", "no object 9"),
        ({"class": 5}, "unknown-object", "no class 5"),
        ({"medium": 9}, "unknown-object", "no image or video 9"),
        ({"frame": 1}, "unknown-frame", "no frame 1, only 0 to 0"),
        ({"more": 1}, "bad-request", "/more is not an argument"),
    ],
)
def test_invalid_prompts_are_refused(unchanged: Session, arguments: dict[str, Any], code: str, message: str) -> None:
    fields = {"medium": FIRST, "frame": 0, "object": None, "points": [[10, 10, 1]], "box": None, **arguments}
    assert message in unchanged.refuse("predict", code, **fields)


def test_a_locked_object_is_not_changed(unchanged: Session) -> None:
    fields = {"medium": FIRST, "frame": 0, "object": 2}
    assert "object 2 is locked" in unchanged.refuse("predict", "bad-prompt", **fields, points=[[X, Y, 1]], box=None)
    assert "object 2 is locked" in unchanged.refuse("choose_candidate", "bad-prompt", **fields, candidate=1)


@pytest.mark.parametrize("points", [None, [[X, Y, 1], [X + 1, Y, 1]]])
def test_candidates_are_those_of_a_lone_click(session: Session, points: list[Any] | None) -> None:
    object_id = session.run("add_object", medium=FIRST, fields={})["object"]
    if points:
        predict(session, points, object_id)
    with pytest.raises(MaskletError, match="no prompt of one click"):
        session.run("choose_candidate", medium=FIRST, frame=0, object=object_id, candidate=1)


@pytest.mark.parametrize("arguments", [{"point": [-9, 1]}, {"frame": 2}, {"medium": 8}, {"turn": "x"}])
def test_invalid_hovers_are_refused(unchanged: Session, arguments: dict[str, Any]) -> None:
    unchanged.refuse("hover", **{"medium": FIRST, "frame": 0, "point": [1, 1], "turn": 1, **arguments})

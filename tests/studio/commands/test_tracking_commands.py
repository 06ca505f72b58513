"""Tracking, review and proposals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from masklet.errors import InputNotFound
from masklet.studio import tracking_runs
from masklet.studio.tracking_runs import MAX_RUNS
from support.studio_session import FIRST, FRAMES, VIDEO, Session, make_mask


def start_track(session: Session, **arguments: Any) -> dict[str, Any]:
    """Track the first box from frame 0 on."""
    if session.cell(1, VIDEO, 0) is None:
        session.paint(make_mask(80), medium=VIDEO, frame=0, object=None)
    return session.run("track", medium=VIDEO, **arguments)


def wait_for_end(session: Session, run: int) -> dict[str, Any]:
    def find() -> list[dict[str, Any]]:
        return [event for event in session.client.list_events("progress")
                if event.get("run") == run and event["state"] != "running"]  # fmt: skip

    session.wait_for(find)
    session.settle()
    (event,) = find()
    return event


def test_an_object_is_tracked_frame_by_frame(session: Session) -> None:
    session.run("show", medium=VIDEO, frame=3)
    reply = start_track(session)
    assert (reply["frames"], reply["first"], reply["last"]) == (5, 1, 5)
    assert reply["objects"] == [{"object": 1, "frames": 5, "first": 1, "last": 5}]
    event = wait_for_end(session, reply["run"])
    assert (event["state"], event["done"], event["total"], event["frame"]) == ("finished", 5, 5, 5)
    assert event["problem"] is None and event["seconds_left"] is None
    for frame in range(1, FRAMES):
        assert (session.mask(1, VIDEO, frame) == make_mask(80, frame)).all()
        assert session.cell(1, VIDEO, frame).source == "track"
    session.wait_for(lambda: session.client.list_binaries("masks")[-1][0]["masks"])
    assert (session.client.last_masks()[1] == make_mask(80, 3)).all()
    running = [event for event in session.client.list_events("progress") if event["state"] == "running"]
    assert running and len(running) <= 2  # at most ten a second
    session.run("undo")
    assert session.project.document.cells.frames_of(VIDEO, 1).tolist() == [0]


def test_clicks_are_predicted_while_a_track_runs(session: Session) -> None:
    session.paint(make_mask(80), medium=VIDEO, frame=0, object=None)
    session.backend.close_gate()
    run = start_track(session)["run"]
    assert session.backend.waiting.wait(60)
    session.run("predict", medium=VIDEO, frame=0, object=None, points=[[30, 10, 1]], box=None)
    session.backend.gate.set()
    wait_for_end(session, run)
    assert session.cell(2, VIDEO, 0).visible
    order = [
        (event["action"], event["cells"][0][2]) for event in session.client.list_events("changes") if event["cells"]
    ]
    assert order.index(("prompt", 0)) < order.index(("track", FRAMES - 1))
    assert session.run("undo")["action"] == "track"  # its frames after the click
    assert session.cell(2, VIDEO, 0).visible and session.cell(1, VIDEO, FRAMES - 1) is None


def test_only_so_many_tracks_may_run(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.paint(make_mask(80), medium=VIDEO, frame=0, object=None)
    with monkeypatch.context() as patch:
        patch.setattr(tracking_runs, "open_medium", refuse_to_open)
        for _ in range(MAX_RUNS):  # they leave no run behind
            session.refuse("track", "input-not-found", medium=VIDEO)
    session.backend.close_gate()
    runs = [start_track(session)["run"] for _ in range(MAX_RUNS)]
    assert "4 tracks" in session.refuse("track", "job-locked", medium=VIDEO)
    session.run("stop_tracking", run=runs.pop())
    runs.append(start_track(session)["run"])
    session.backend.gate.set()
    for run in runs:
        wait_for_end(session, run)
    assert session.project.document.cells.frames_of(VIDEO, 1).tolist() == [*range(FRAMES)]


def test_a_track_is_stopped_while_its_video_is_opened(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_late(project: Any, medium: int) -> Any:
        session.run("stop_tracking", run=session.run("hello")["runs"][0]["run"])
        return open_medium(project, medium)

    open_medium = tracking_runs.open_medium
    monkeypatch.setattr(tracking_runs, "open_medium", open_late)
    session.backend.close_gate()
    run = start_track(session)["run"]
    session.backend.gate.set()
    event = wait_for_end(session, run)
    assert event["state"] == "stopped" and event["done"] <= 1


def refuse_to_open(project: Any, medium: int) -> Any:
    raise InputNotFound("input-not-found", "the file is missing")


@pytest.mark.parametrize("way", ["stop_tracking", "undo"])
def test_a_track_is_stopped(session: Session, way: str) -> None:
    session.paint(make_mask(80), medium=VIDEO, frame=0, object=None)
    session.backend.close_gate(free=2)  # the mask that it starts from, and frame 1
    run = start_track(session)["run"]
    session.wait_for(lambda: session.cell(1, VIDEO, 1))
    assert [one["run"] for one in session.run("hello")["runs"]] == [run]
    session.run(way, **({"run": run} if way == "stop_tracking" else {}))
    session.backend.gate.set()
    event = wait_for_end(session, run)
    assert event["state"] == "stopped" and event["done"] < FRAMES - 1
    frames = session.project.document.cells.frames_of(VIDEO, 1).tolist()
    assert frames == [0] if way == "undo" else 1 in frames and FRAMES - 1 not in frames
    assert session.run("hello")["runs"] == []
    assert session.run("stop_tracking", run=run) == {}


def test_a_track_that_fails_reports_its_problem(session: Session) -> None:
    session.paint(make_mask(80), medium=VIDEO, frame=0, object=None)
    session.backend.error = ZeroDivisionError("no network")
    event = wait_for_end(session, start_track(session)["run"])
    assert event["state"] == "failed" and event["problem"]["code"] == "internal"
    session.backend.error = None
    assert wait_for_end(session, start_track(session)["run"])["state"] == "finished"


def test_a_correction_is_tracked_again(session: Session) -> None:
    wait_for_end(session, start_track(session)["run"])
    session.run("accept", medium=VIDEO, objects=[1], start=5, stop=6, accepted=True)
    session.paint(make_mask(160, 3), medium=VIDEO, frame=3, object=1)
    plan = session.run("plan_retracking", medium=VIDEO, objects=[1], frame=3)
    assert (plan["frames"], plan["first"], plan["last"]) == (1, 4, 4)
    reply = start_track(session, objects=[1], frame=3)
    assert {**plan, "run": reply["run"]} == reply
    wait_for_end(session, reply["run"])
    assert session.mask(1, VIDEO, 4)[make_mask(160, 4)].all()
    assert (session.mask(1, VIDEO, 5) == make_mask(80, 5)).all()


def test_a_plan_without_frames_starts_no_run(session: Session) -> None:
    session.paint(make_mask(80), medium=VIDEO, frame=0, object=None)
    plan = session.run("plan_tracking", medium=VIDEO, objects=None, start=0, stop=1, direction="forward")
    assert plan == {"frames": 0, "first": None, "last": None, "objects": []}
    assert start_track(session, start=0, stop=1)["run"] is None


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("plan_tracking", {"start": 3, "stop": 3}),
        ("plan_tracking", {"direction": "up"}),
        ("plan_tracking", {"objects": [9]}),
        ("plan_retracking", {"frame": FRAMES, "objects": []}),
        ("plan_retracking", {"frame": 0, "objects": [9]}),
        ("track", {"frame": 0, "start": 2}),
        ("track", {"medium": 9}),
        ("stop_tracking", {}),
        ("next_review", {"frame": 0, "backward": 1}),
        ("next_review", {"frame": 0, "medium": 9}),
        ("propose", {"frame": FRAMES}),
        ("detect", {"frame": FRAMES, "text": "cup"}),
        ("detect", {"frame": 0, "text": " , "}),
        ("detect", {"frame": 0, "text": ""}),
        ("take_proposals", {"frame": 0, "indices": [0]}),
        ("take_proposals", {"frame": 0, "indices": [-1]}),
    ],
)
def test_invalid_plans_are_refused(unchanged: Session, command: str, arguments: dict[str, Any]) -> None:
    unchanged.refuse(command, **{"medium": VIDEO, **arguments})


def test_the_next_frame_to_review_is_found(session: Session) -> None:
    nothing = {"frame": None, "object": None, "reason": None}
    assert session.run("next_review", medium=VIDEO, frame=0) == nothing
    (session.folder / "clip" / "003.png").write_bytes((session.folder / "c.png").read_bytes())
    wait_for_end(session, start_track(session)["run"])


def test_proposals_become_objects(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(session.backend), "fetch_candidates", fetch_first, raising=True)
    class_id = session.run("add_class", fields={"name": "cup"})["class"]
    session.paint(make_mask(80), medium=FIRST, frame=0, object=None)
    assert session.run("propose", medium=FIRST, frame=0, **{"class": class_id}) == {}
    ((header, _),) = session.client.list_binaries("proposals")
    assert header["size"] == [40, 60] and len(header["masks"]) == 2  # one of them has a mask already
    masks = session.client.last_masks("proposals")
    fields = {"medium": FIRST, "frame": 0, "class": class_id}
    assert "no proposal 2" in session.refuse("take_proposals", **fields, indices=[2])
    reply = session.run("take_proposals", **fields, indices=[1, 0, 1])
    assert reply["objects"] == [2, 3]
    assert (session.mask(2) == masks[1]).all() and (session.mask(3) == masks[0]).all()
    assert session.cell(2).source == "propose" and session.project.document.label_of(FIRST, 2) == "cup"


def fetch_first(backend: Any, decoded: Any) -> Any:
    """Return the object as all three candidates; clicks on black give none."""
    from masklet.backend import Predictions

    mask = decoded.candidates.logits[:, 1]
    is_object = ~decoded.pointer[:, 0]
    return Predictions(mask.repeat(3, 0), is_object.repeat(3).astype(np.float32), np.ones(3 * len(mask), np.float32))


def test_a_failure_of_the_mask_generator_is_a_problem(session: Session) -> None:
    session.backend.error = ZeroDivisionError("no network")
    assert "ZeroDivisionError" in session.refuse("propose", "internal", medium=FIRST, frame=0)

"""What a client shows, the state of the project, undo and redo, and what two clients see of each other."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.errors import MaskletError, StateError
from masklet.studio.connection import FrameRequest
from support.studio_session import (
    FIRST,
    FRAMES,
    LAST,
    OTHER,
    SECOND,
    TIMEOUT_S,
    VIDEO,
    RecordingClient,
    Session,
    make_mask,
    open_session,
)


def test_hello_describes_the_project(session: Session) -> None:
    session.click(80)
    hello = session.run("hello")
    assert (hello["project"], hello["model"], hello["undo"], hello["redo"]) == ("project", "fake", "prompt", None)
    assert hello["entries"][f"media/{VIDEO}"]["frames"] == FRAMES and f"object/{FIRST}/1" in hello["entries"]
    assert hello["seq"] == session.project.seq and hello["runs"] == []
    assert "coco" in hello["formats"] and "blur" in hello["effects"] and "overlay" in hello["effects"]
    assert not {*hello["formats"]} & {*hello["effects"]} and hello["cameras"] == []
    session.studio.add_camera("camera 0")
    assert session.run("hello")["cameras"] == [{"name": "camera 0", "url": "/live/1"}]


def test_showing_a_frame_sends_its_masks_and_encodes_it_and_its_neighbors(session: Session) -> None:
    session.paint(make_mask(80, 2), medium=VIDEO, frame=2, object=None)
    assert session.run("show", medium=VIDEO, frame=2) == {}
    session.wait_for(lambda: session.client.list_binaries("lanes"))
    assert (session.client.last_masks()[1] == make_mask(80, 2)).all()
    ((header, payload),) = session.client.list_binaries("lanes")
    assert header == {"kind": "lanes", "medium": VIDEO, "frames": FRAMES, "objects": [1]}
    assert payload == bytes([0, 0, session.cell(1, VIDEO, 2).to_byte(), 0, 0, 0])
    session.settle()
    assert encoded_frames(session) == {(VIDEO, frame) for frame in (2, 3, 4, 5)}
    session.run("show", medium=VIDEO, frame=1)  # backward
    session.settle()
    assert (VIDEO, 0) in encoded_frames(session)
    session.run("show", medium=FIRST, frame=0)
    session.wait_for(lambda: session.client.list_binaries("masks")[-1][0]["medium"] == FIRST)
    session.settle()
    assert {(SECOND, 0), (OTHER, 0)} <= encoded_frames(session)
    assert [header["medium"] for header, _ in session.client.list_binaries("lanes")] == [VIDEO, FIRST]


def test_lanes_of_a_video_that_is_not_shown_are_sent_on_request(session: Session) -> None:
    session.paint(make_mask(80, 2), medium=VIDEO, frame=2, object=None)
    assert session.run("get_lanes", medium=VIDEO) == {}
    ((header, payload),) = session.client.list_binaries("lanes")
    assert header["medium"] == VIDEO and payload[2] == session.cell(1, VIDEO, 2).to_byte()
    with pytest.raises(MaskletError, match="99"):
        session.run("get_lanes", medium=99)


def test_a_client_that_has_disconnected_shows_nothing(session: Session) -> None:
    client = session.add_client()
    session.run("show", client, medium=VIDEO, frame=2)
    session.wait_for(lambda: client.list_binaries("lanes"))
    session.clients.remove(client)
    session.studio.disconnect(client)
    session.run("show", client, medium=FIRST, frame=0)  # it was waiting
    session.settle()
    updates = session.studio._workspace.updates
    assert updates.get_shown(client) is None and client not in updates._lanes


def test_no_change_is_sent_before_lanes_that_lack_it(session: Session) -> None:
    changeable: list[bool] = []

    def try_lock() -> None:
        changeable.append(session.project.lock.acquire(blocking=False))
        if changeable[-1]:
            session.project.lock.release()

    class LockedClient(RecordingClient):
        def send_binary(self, header: dict[str, Any], payload: bytes = b"") -> None:
            thread = threading.Thread(target=try_lock)
            thread.start()
            thread.join()

    session.run("get_lanes", LockedClient(), medium=VIDEO)
    assert changeable == [False]


def encoded_frames(session: Session) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    places = [(VIDEO, frame) for frame in range(FRAMES)] + [(medium, 0) for medium in (FIRST, SECOND, OTHER)]
    session.studio._engine.submit(LAST, lambda model: found.update(p for p in places if model.is_encoded(*p))).wait(60)
    return found


def test_neighbors_are_left_out_when_the_client_goes_on(session: Session) -> None:
    session.backend.close_gate()
    session.run("show", medium=VIDEO, frame=0)
    session.wait_for(session.backend.waiting.is_set)
    session.run("show", medium=FIRST, frame=0)
    session.backend.gate.set()
    session.settle()
    assert not {(VIDEO, 1), (VIDEO, 2)} & encoded_frames(session)


def test_two_clients_see_each_others_changes(session: Session) -> None:
    other = session.add_client()
    session.run("show", medium=FIRST, frame=0)
    session.run("show", other, medium=FIRST, frame=0)
    session.run("predict", other, medium=FIRST, frame=0, object=None, points=[[10, 10, 1]], box=None)
    session.wait_for(lambda: session.client.list_binaries("masks")[-1][0]["masks"])
    assert session.client.last_masks()[1].any()
    session.run("undo")
    for client in (session.client, other):
        session.wait_for(lambda client=client: client.list_events("changes")[-1]["action"] == "undo")
        session.wait_for(lambda client=client: not client.list_binaries("masks")[-1][0]["masks"])
        assert client.list_events("changes")[-1]["redo"] == "prompt"
        seqs = [event["seq"] for event in client.list_events("changes")]
        assert seqs == sorted(set(seqs))
    session.studio.disconnect(other)
    session.paint(make_mask(80), medium=FIRST, frame=0, object=None)
    session.settle()
    assert not other.list_binaries("masks")[-1][0]["masks"]


def test_masks_of_frames_that_nobody_shows_are_not_sent(session: Session) -> None:
    session.run("show", medium=FIRST, frame=0)
    session.wait_for(lambda: session.client.list_binaries("lanes"))
    session.paint(make_mask(80), medium=VIDEO, frame=0, object=None)
    session.settle()
    assert len(session.client.list_binaries("masks")) == 1


def test_images_are_checked(session: Session) -> None:
    session.run("change_media", media=[FIRST, SECOND], fields={"checked": True})
    assert [one.checked for one in session.project.document.media().values()] == [False, True, True, False]
    assert "no image or video 9" in session.refuse("change_media", media=[9], fields={"checked": True})
    assert "/fields/path" in session.refuse("change_media", media=[FIRST], fields={"path": "x"})


def test_new_files_are_found(session: Session) -> None:
    assert session.run("rescan")["added"] == []
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(session.folder / "new.png")
    assert session.run("rescan")["added"] == [5]


def test_undo_and_redo_return_the_action(session: Session) -> None:
    session.run("add_object", medium=FIRST, fields={})
    assert session.run("undo") == {"action": "add_object", "seq": session.project.seq}
    assert session.run("redo")["action"] == "add_object"
    for _ in range(3):
        session.run("undo")
    assert session.run("undo") == {"action": None, "seq": session.project.seq}


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("show", {"medium": 9, "frame": 0}),
        ("show", {"medium": VIDEO, "frame": FRAMES}),
        ("show", {}),
        ("undo", {"n": 1}),
        ("_run", {}),
        ("handle", {}),
        ("paint", {}),
        ("", {}),
    ],
)
def test_invalid_commands_are_refused(unchanged: Session, command: str, arguments: dict[str, Any]) -> None:
    unchanged.refuse(command, **arguments)


def test_frames_are_served(session: Session) -> None:
    content = session.studio.frame(FrameRequest(FIRST, 0, format="png"))
    assert content.media_type == "image/png" and content.body[:4] == b"\x89PNG"
    assert session.studio.frame(FrameRequest(VIDEO, 5, 30)).body[:2] == b"\xff\xd8"
    with pytest.raises(MaskletError):
        session.studio.frame(FrameRequest(9, 0))


def test_a_file_that_is_missing_is_reported_to_the_client_that_shows_it(session: Session) -> None:
    (session.folder / "a.png").unlink()
    session.run("show", medium=FIRST, frame=0)
    session.wait_for(lambda: session.client.list_events("problem"))
    assert session.client.list_events("problem")[0]["problem"]["code"] == "input-not-found"


def test_a_client_that_connects_while_the_model_is_loaded_learns_of_it(tmp_path: Path) -> None:
    loading = threading.Event()

    def load() -> Any:
        assert loading.wait(TIMEOUT_S)
        raise StateError("frame-missing", "the model cannot be loaded")

    with open_session(tmp_path, load=load) as session:
        session.studio.connect(session.client)
        (busy,) = session.client.list_events("busy")
        assert busy["what"] == "loading"
        session.run("predict", medium=FIRST, frame=0, object=None, points=[[10, 10, 1]], box=None)
        loading.set()
        session.wait_for(lambda: len(session.client.list_events("problem")) == 2)
        loaded, predicted = session.client.list_events("problem")
        assert (loaded["command"], predicted["command"]) == ("load", "predict")
        assert loaded["problem"] == predicted["problem"] and loaded["problem"]["detail"] == "the model cannot be loaded"
        assert session.client.list_events("busy")[-1]["what"] is None
        session.paint(make_mask(80), medium=FIRST, frame=0, object=1)  # everything else works
        late: Any = session.add_client()
        session.studio.connect(late)
        assert late.events == [loaded]


def test_commands_run_in_the_order_in_which_they_arrive(session: Session) -> None:
    async def add_many() -> list[Any]:
        calls = [
            session.studio.handle(session.client, "add_object", {"medium": FIRST, "fields": {}}) for _ in range(30)
        ]
        return await asyncio.gather(*calls)

    assert [reply["object"] for reply in asyncio.run(add_many())] == [*range(1, 31)]


def test_masks_of_a_damaged_project_are_a_problem(session: Session) -> None:
    session.paint(make_mask(80), medium=FIRST, frame=0, object=None)
    path = session.project.folder / "masks" / f"{FIRST}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"counts"', b'"county"'))
    session.studio._workspace.masks._cache.put((FIRST, 1), None, 0)
    session.run("show", medium=FIRST, frame=0)
    session.wait_for(lambda: session.client.list_events("problem"))
    assert session.client.list_events("problem")[0]["problem"]["code"] == "project-broken"

"""Exports and imports."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from masklet.errors import FormatError, InputNotFound, MaskletError
from masklet.studio import exports, studio
from support.studio_session import FIRST, TIMEOUT_S, VIDEO, Session, make_mask, open_session


def export(session: Session, **arguments: Any) -> dict[str, Any]:
    """Export, and return the last progress."""
    name = session.run("export", **{"media": [FIRST], "formats": ["coco"], "effects": [], **arguments})["export"]

    def find() -> list[dict[str, Any]]:
        return [event for event in session.client.list_events("progress") if event["export"] == name]

    session.wait_for(lambda: find() and find()[-1]["state"] != "running")
    return find()[-1]


def test_an_export_is_written_downloaded_and_imported(session: Session) -> None:
    class_id = session.run("add_class", fields={"name": "cup"})["class"]
    session.paint(make_mask(80), medium=FIRST, frame=0, object=None, **{"class": class_id})
    event = export(session, media=[FIRST], effects=["blur"])
    assert event["state"] == "finished" and event["done"] == event["total"] > 0
    assert event["path"].startswith(str(session.project.folder / "exports"))
    content = session.studio.export(event["url"].removeprefix("/exports/").removesuffix(".zip"))
    archive = ZipFile(io.BytesIO(b"".join(content.body)))
    assert content.media_type == "application/zip" and archive.testzip() is None
    coco = next(name for name in archive.namelist() if name.endswith(".json"))
    assert json.loads(archive.read(coco))["annotations"][0]["area"] == make_mask(80).sum()
    assert any(name.endswith("a.jpg") for name in archive.namelist())

    (session.folder / "found.json").write_bytes(archive.read(coco))
    assert session.run("list_annotations") == {"files": [str(session.folder / "found.json")]}
    reply = session.run("import_annotations", medium=FIRST, path=str(session.folder / "found.json"))
    assert reply == {"objects": [2], "seq": session.project.seq}
    assert (session.mask(2) == make_mask(80)).all() and session.project.document.label_of(FIRST, 2) == "cup"
    uploaded = session.studio.import_annotations(FIRST, "given.JSON", archive.read(coco))
    assert uploaded["objects"] == [3]
    with pytest.raises(FormatError, match=r"^given.json") as caught:
        session.studio.import_annotations(FIRST, "given.json", b"{}")
    assert "/" not in caught.value.message.partition(":")[0]


def test_exports_of_one_second_have_different_names(session: Session) -> None:
    session.paint(make_mask(80), medium=FIRST, frame=0, object=None)
    assert export(session)["path"] != export(session)["path"]


def test_an_export_that_fails_reports_its_problem(session: Session) -> None:
    event = export(session, media=[VIDEO])
    assert event["state"] == "failed" and "nothing to export" in event["problem"]["detail"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("export", {"formats": ["exe"]}),
        ("export", {"media": [9]}),
        ("export", {"media": []}),
        ("export", {"formats": []}),
        ("import_annotations", {"medium": FIRST, "path": "/etc/passwd"}),
        ("import_annotations", {"medium": FIRST, "path": "a.png"}),
    ],
)
def test_invalid_transfers_are_refused(unchanged: Session, command: str, arguments: dict[str, Any]) -> None:
    base = {"media": [FIRST], "formats": ["coco"], "effects": []} if command == "export" else {}
    unchanged.refuse(command, **{**base, **arguments})


@pytest.mark.parametrize("name", ["missing", "..", ".", "../masks", ".hidden", "a/b"])
def test_only_exports_are_served(unchanged: Session, name: str) -> None:
    with pytest.raises(InputNotFound):
        unchanged.studio.export(name)


def test_closing_waits_for_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def read(*arguments: Any) -> dict[str, Any]:
        started.set()
        assert may_end.wait(TIMEOUT_S)
        ended.set()
        return {}

    monkeypatch.setattr(studio, "import_content", read)
    with open_session(tmp_path) as session:
        thread = threading.Thread(target=session.studio.import_annotations, args=(FIRST, "a.json", b"{}"))
        thread.start()
        assert started.wait(TIMEOUT_S)
        threading.Timer(0.05, may_end.set).start()
        session.studio.close()
        assert ended.is_set()
    thread.join()


def test_only_so_many_exports_may_wait(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()
    monkeypatch.setattr(exports, "export_project", lambda *args, **options: may_end.wait(TIMEOUT_S))
    arguments = {"media": [FIRST], "formats": ["coco"], "effects": []}
    names = {session.run("export", **arguments)["export"] for _ in range(exports.MAX_WAITING)}
    session.wait_for(lambda: session.studio._workspace.exports._requests.qsize() < len(names))
    names.add(session.run("export", **arguments)["export"])
    assert "wait" in session.refuse("export", **arguments) and len(names) == exports.MAX_WAITING + 1
    may_end.set()


def test_closing_ends_an_export(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.paint(make_mask(80), medium=FIRST, frame=0, object=None)
    exports = session.studio._workspace.exports

    def write(project: Any, out: Any, formats: Any, *, media: Any, progress: Any) -> None:
        exports._is_stopped = True
        progress(1, 2)
        raise MaskletError("internal", "not reached")

    monkeypatch.setattr("masklet.studio.exports.export_project", write)
    assert export(session)["state"] == "stopped"

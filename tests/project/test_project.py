"""Project: undo and redo against snapshots, reopening from log and snapshot, groups, and damaged files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masklet.errors import FormatError, InputNotFound, MaskletError, ResourceError, StateError
from masklet.project import project as project_module
from masklet.project.action_log import Step
from masklet.project.cells import Cell
from masklet.project.entries import ObjectClass, class_key
from masklet.project.project import Project
from support.projects import add_video, box_at, copy_files, read_state, set_cells

RED = ObjectClass("red", "#ff0000").to_json()


def name_class(project: Project, name: str, number: int = 1) -> Step:
    return project.act("change_class", {class_key(number): {**RED, "name": name}})


@pytest.fixture
def filled(project: Project) -> Project:
    """A project with a video, two objects and five actions."""
    medium = add_video(project, 10, objects=2)
    set_cells(project, medium, {1: "pttt", 2: "..x"})
    name_class(project, "dog")
    name_class(project, "cat")
    project.undo()
    return project


class History:
    """A project and all of its states."""

    def __init__(self, folder: Path, copies: Path) -> None:
        self.folder, self.copies = folder, copies
        self.project = Project.open(folder)
        add_video(self.project, 8)
        self.masks = [self.project.masks(1).add(box_at(1, frame)) for frame in range(4)]
        self.states, self.position = [read_state(self.project)], 0

    def act(self, kind: str, number: int, value: Any) -> None:
        """Change a class or a cell, or make a group of changes."""
        before, project = self.project.seq, self.project
        if kind == "class":
            project.act(kind, {class_key(number): None if value is None else {**RED, "name": value}})
        elif kind == "cell":
            project.act(kind, cells=self._make_cell(number, value))
        else:
            with project.group() as group:
                for source in ("edit", "import"):
                    project.act(kind, cells=self._make_cell(number, source), group=group)
        if project.seq > before:
            self.states, self.position = [*self.states[: self.position + 1], read_state(project)], self.position + 1

    def move(self, direction: int) -> None:
        """Undo, −1, or redo, 1."""
        target = self.position + direction
        if direction > 0:
            assert (self.project.redo() is None) == (target == len(self.states))
        else:
            assert (self.project.undo() is None) == (target < 0)
        self.position = min(max(target, 0), len(self.states) - 1)

    def reopen(self) -> None:
        """Close and open the project. A copy from before has the same state, as after a kill."""
        with Project.open(copy_files(self.folder, self.copies / str(self.project.seq))) as copied:
            assert read_state(copied) == read_state(self.project)
            assert (copied.undo_label, copied.redo_label) == (self.project.undo_label, self.project.redo_label)
        self.project.close()
        self.project = Project.open(self.folder)

    def _make_cell(self, number: int, source: Any) -> dict[Any, Cell | None]:
        return {(1, 1, number): None if source is None else Cell(self.masks[number], 0.5, source)}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("class"), st.integers(1, 3), st.sampled_from(["a", "b", None])),
            st.tuples(st.just("cell"), st.integers(0, 3), st.sampled_from(["track", "prompt", None])),
            st.tuples(st.just("group"), st.integers(0, 3), st.none()),
            st.tuples(st.just("move"), st.sampled_from([-1, -1, 1]), st.none()),
            st.tuples(st.sampled_from(["reopen", "save"]), st.none(), st.none()),
        ),
        max_size=25,
    )
)
def test_undo_and_redo_restore_every_state(steps: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    history = History(tmp_path_factory.mktemp("history"), tmp_path_factory.mktemp("copies"))
    for kind, number, value in steps:
        if kind in ("class", "cell", "group"):
            history.act(kind, number, value)
        elif kind == "move":
            history.move(number)
        elif kind == "save":
            history.project.save()
        else:
            history.reopen()
        assert read_state(history.project) == history.states[history.position]
    while history.project.undo():
        pass
    assert read_state(history.project) == history.states[0]
    history.project.close()


def test_labels_name_the_actions_that_undo_and_redo_change(project: Project) -> None:
    assert (project.undo_label, project.redo_label) == (None, None)
    name_class(project, "dog")
    assert (project.undo_label, project.redo_label) == ("change_class", None)
    project.undo()
    assert (project.undo_label, project.redo_label) == (None, "change_class")


def test_an_action_without_effect_is_not_written(project: Project) -> None:
    name_class(project, "dog")
    step = name_class(project, "dog")
    assert (step.seq, step.changes, project.seq) == (1, {}, 1)


def test_a_change_has_only_what_changed(project: Project) -> None:
    name_class(project, "dog")
    step = project.act("x", {class_key(1): {**RED, "name": "dog"}, class_key(2): RED})
    assert [*step.changes] == [class_key(2)]


def test_an_invalid_entry_changes_nothing(project: Project) -> None:
    with pytest.raises(FormatError, match="color"):
        project.act("x", {class_key(1): RED, class_key(2): {"name": "a", "color": "blue"}})
    assert (project.seq, project.document.classes()) == (0, {})


def test_listeners_get_every_change_in_order_after_it_is_in_the_log(project: Project) -> None:
    steps: list[Step] = []

    def listen(step: Step) -> None:
        lines = (project.folder / "log.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["seq"] == step.seq == project.seq
        steps.append(step)

    unsubscribe = project.subscribe(listen)
    name_class(project, "dog")
    project.undo()
    project.redo()
    unsubscribe()
    name_class(project, "cat")
    assert [(step.seq, step.action, step.group) for step in steps] == [
        (1, "change_class", 1), (2, "undo", 1), (3, "redo", 1),
    ]  # fmt: skip
    assert steps[1].changes == {class_key(1): None}


def test_a_run_is_undone_in_one_step(project: Project) -> None:
    add_video(project, 10)
    with project.group() as group:
        for frame in range(5):
            project.act("track", cells={(1, 1, frame): Cell(0, 1.0, "track")}, group=group)
    step = project.undo()
    assert step is not None and len(step.cells) == 5
    assert project.document.cells.frames_of(1, 1).tolist() == []
    project.redo()
    assert project.document.cells.frames_of(1, 1).tolist() == [*range(5)]


def test_an_action_between_the_changes_of_a_run_is_undone_first(project: Project) -> None:
    add_video(project, 10)
    with project.group() as group:
        for frame in range(4):
            project.act("track", cells={(1, 1, frame): Cell(0, 1.0, "track")}, group=group)
            if frame == 1:
                name_class(project, "dog")
    actions = []
    while label := project.undo_label:
        actions.append(label)
        project.undo()
    assert actions == ["change_class", "track"]
    assert not len(project.document.cells.frames_of(1, 1))


def test_a_change_of_what_a_run_changes_next_divides_it(project: Project) -> None:
    add_video(project, 10)
    with project.group() as group:
        first = project.act("track", cells={(1, 1, 0): Cell(0, 1.0, "track")}, group=group)
        second = project.act("track", cells={(1, 1, 1): Cell(0, 1.0, "track")}, group=group)
        edit = project.act("edit", cells={(1, 1, 2): Cell(0, 1.0, "edit")})
        third = project.act("track", cells={(1, 1, 2): Cell(0, 0.5, "track")}, group=group)
        last = project.act("track", cells={(1, 1, 3): Cell(0, 1.0, "track")}, group=group)
    assert (first.group, second.group, third.group, last.group) == (first.seq, first.seq, third.seq, third.seq)
    project.undo()
    assert project.document.cell(1, 1, 2) == edit.cells[1, 1, 2]


def test_a_run_goes_on_after_an_undo_that_can_still_be_redone(project: Project) -> None:
    add_video(project, 10)
    with project.group() as group:
        project.act("track", cells={(1, 1, 0): Cell(0, 1.0, "track")}, group=group)
        name_class(project, "dog")
        project.undo()
        project.act("track", cells={(1, 1, 1): Cell(0, 1.0, "track")}, group=group)
    assert (project.undo_label, project.redo_label) == ("track", "change_class")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["first run", "second run", "act", "undo", "redo"]), st.integers(0, 3)), max_size=30
    )
)
def test_runs_and_actions_at_the_same_time_are_undone_to_the_start_and_redone(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("project")
    with Project.open(folder) as project:
        add_video(project, 8)
        start = read_state(project)
        with project.group() as first, project.group() as second:
            groups = {"first run": first, "second run": second, "act": None}
            for number, (kind, frame) in enumerate(steps):
                if kind in ("undo", "redo"):
                    getattr(project, kind)()
                else:
                    cells = {(1, 1, frame): Cell(0, number / 100, "track")}
                    project.act("track", cells=cells, group=groups[kind])
        while project.redo():
            pass
        end = read_state(project)
        with Project.open(copy_files(folder, tmp_path_factory.mktemp("copy"))) as copied:
            assert (read_state(copied), copied.undo_label) == (end, project.undo_label)
            while copied.undo():
                pass
            assert read_state(copied) == start
            while copied.redo():
                pass
            assert read_state(copied) == end


def test_a_run_that_was_undone_makes_no_further_changes(project: Project) -> None:
    add_video(project, 10)
    with project.group() as group:
        project.act("track", cells={(1, 1, 0): Cell(0, 1.0, "track")}, group=group)
        project.undo()
        step = project.act("track", cells={(1, 1, 1): Cell(0, 1.0, "track")}, group=group)
    assert group.undone and not step.cells and project.redo_label == "track"


def test_a_second_process_cannot_open_a_project(project: Project) -> None:
    with pytest.raises(StateError) as error:
        Project.open(project.folder)
    assert error.value.code == "job-locked"


def test_a_folder_without_a_project_is_not_opened_without_create(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="is not a project"):
        Project.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_a_closed_project_opens_again_with_its_name(tmp_path: Path) -> None:
    Project.open(tmp_path / "labels").close()
    with Project.open(tmp_path / "labels", create=False) as project:
        assert project.document.name == "labels"


@pytest.mark.parametrize("missing", ["", "log.jsonl", "project.json"])
def test_log_or_snapshot_is_enough(filled: Project, missing: str) -> None:
    expected, seq = read_state(filled), filled.seq
    filled.close()
    folder = filled.folder
    if missing:
        (folder / missing).unlink()
    for _ in range(2):
        with Project.open(folder) as project:
            assert read_state(project) == expected and project.seq == seq
            assert project.redo_label == (None if missing == "log.jsonl" else "change_class")
    with Project.open(folder) as project:
        name_class(project, "horse", 2)
    with Project.open(folder) as project:
        assert project.seq == seq + 1 and project.undo_label == "change_class"
        project.undo()
        assert read_state(project) == expected


def test_the_log_decides_where_the_snapshot_is_later(filled: Project) -> None:
    filled.close()
    lines = (filled.folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    (filled.folder / "log.jsonl").write_bytes(b"".join(lines[:3]))
    with Project.open(filled.folder) as project:
        assert project.seq == 3 and [one.name for one in project.document.classes().values()] == ["dog"]


def test_a_snapshot_is_written_from_time_to_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_module, "_SNAPSHOT_S", -1.0)
    monkeypatch.setattr(project_module, "_SNAPSHOT_SHARE", float("inf"))
    name_class(project, "dog")
    assert json.loads((project.folder / "project.json").read_text())["seq"] == 1


def test_an_action_succeeds_although_its_snapshot_cannot_be_written(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_module, "_SNAPSHOT_S", -1.0)
    monkeypatch.setattr(project_module, "_SNAPSHOT_SHARE", float("inf"))
    with monkeypatch.context() as patch:
        patch.setattr(project_module.snapshot, "write", fail_to_write)
        assert name_class(project, "dog").seq == 1
        assert name_class(project, "cat").seq == 2 and project.undo() is not None
        with pytest.raises(ResourceError):
            project.save()
    project.save()
    assert json.loads((project.folder / "project.json").read_text())["seq"] == 3


def fail_to_write(*arguments: Any) -> None:
    raise ResourceError("disk-full", "the disk is full")


def test_a_file_is_not_a_project(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"")
    with pytest.raises(InputNotFound, match="is a file") as caught:
        Project.open(tmp_path / "cat.jpg")
    assert caught.value.code == "input-unreadable"


@pytest.mark.parametrize("name", ["lock", "log.jsonl", "project.json", "masks/1.jsonl"])
def test_a_link_in_a_project_is_not_followed(filled: Project, tmp_path: Path, name: str) -> None:
    filled.close()
    victim, file = tmp_path / "victim", filled.folder / name
    victim.write_bytes(file.read_bytes() if name == "log.jsonl" else b"mine")
    before = victim.read_bytes()
    file.unlink()
    file.symlink_to(victim)
    with pytest.raises(FormatError, match="is a link") as caught, Project.open(filled.folder) as project:
        project.masks(1).add(box_at(1, 0))
    assert caught.value.code == "project-broken" and victim.read_bytes() == before


def break_line(folder: Path, line: int, text: bytes) -> None:
    lines = (folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    lines[line : line + 1] = [text]
    (folder / "log.jsonl").write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (lambda folder: break_line(folder, 1, b'{"seq": 2, "gro\n'), "project-broken", "line 2: it is damaged"),
        (lambda folder: break_line(folder, 1, b""), "project-broken", "change 2 is missing"),
        (lambda folder: break_line(folder, 0, b""), None, ""),
        (
            lambda folder: (break_line(folder, 0, b""), (folder / "project.json").unlink()),
            "project-broken",
            "has changes 2 to 5, but project.json is missing",
        ),
        (lambda folder: (folder / "project.json").write_text("{"), None, ""),
        (lambda folder: (folder / "project.json").write_text('{"schema": 2}'), "project-newer", "has schema 2"),
        (
            lambda folder: ((folder / "log.jsonl").unlink(), (folder / "project.json").write_text('{"name": "web"}')),
            "project-broken",
            "no field 'schema'",
        ),
        (
            lambda folder: ((folder / "project.json").unlink(), shutil.rmtree(folder / "masks")),
            "project-broken",
            "lacks masks of change 2",
        ),
    ],
)
def test_damaged_files_are_refused_unless_the_others_are_enough(
    filled: Project, damage: Callable[[Path], object], code: str | None, message: str
) -> None:
    expected = read_state(filled)
    filled.close()
    damage(filled.folder)
    if code is None:
        with Project.open(filled.folder) as project:
            assert read_state(project) == expected
        return
    with pytest.raises(MaskletError, match=message) as error:
        Project.open(filled.folder)
    assert error.value.code == code
    with pytest.raises(MaskletError):  # and not as locked
        Project.open(filled.folder)


def test_a_damaged_mask_is_named(filled: Project) -> None:
    path = filled.folder / "masks" / "1.jsonl"
    filled.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[3:]]))
    with Project.open(filled.folder) as project:
        assert project.masks(1).read(1).any()
        with pytest.raises(FormatError, match="mask 2 cannot be read"):
            project.masks(1).read(2)
        with pytest.raises(FormatError, match="mask 99 cannot be read"):
            project.masks(1).read(99)


def test_masks_are_read_as_they_were_added(project: Project) -> None:
    add_video(project, 3)
    store = project.masks(1)
    numbers = [store.add(box_at(1, frame)) for frame in range(3)]
    assert numbers == [1, 2, 3] and store.add(box_at(1, 0) & False) == 0
    assert store.areas().tolist() == [0, 80, 80, 80]
    store.add(box_at(1, 0)[:40])
    assert store.areas().tolist()[-1] == 80
    project.close()
    with Project.open(project.folder) as reopened:
        again = reopened.masks(1)
        assert all((again.read(number) == box_at(1, frame)).all() for frame, number in enumerate(numbers))
        assert not again.read(0).any() and again.areas().tolist() == [0, 80, 80, 80, 80]
        assert again.add(box_at(1, 5)) == 5


def test_a_closed_project_refuses_changes(project: Project) -> None:
    project.close()
    project.close()
    with pytest.raises(StateError, match="is closed"):
        name_class(project, "dog")


def test_adding_media_is_not_undone(project: Project) -> None:
    name_class(project, "dog")
    project.undo()
    add_video(project, 10)
    assert (project.undo_label, project.redo_label) == (None, "change_class")
    project.redo()
    project.undo()
    assert project.document.medium(1).frames == 10

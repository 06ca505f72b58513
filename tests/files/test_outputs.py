"""Output folders are created atomically, and only folders that masklet made are removed."""

from __future__ import annotations

import ast
import errno
import os
from pathlib import Path

import pytest

import masklet
from masklet.errors import ResourceError
from masklet.files.outputs import atomic_folder, output_exists, remove_folder, remove_partial_folders
from masklet.formats.job_folder import remove_job
from masklet.jobs.frame_log import FrameLog

PARTIAL = ".masklet-0123456789abcdef.part"


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def make_user_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "precious.txt").write_text("mine")
    return folder


def test_a_folder_is_renamed_when_it_is_complete(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "deep/clip") as part:
        (part / "a.png").write_bytes(b"a")
        assert not (tmp_path / "deep/clip").exists()
    assert names(tmp_path) == ["deep", "deep/clip", "deep/clip/a.png"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_a_failing_block_leaves_no_folder(fault: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(fault), atomic_folder(tmp_path / "clip") as part:
        (part / "a.png").write_bytes(b"a")
        raise fault
    assert names(tmp_path) == []


def test_an_existing_folder_is_not_replaced(tmp_path: Path) -> None:
    make_user_folder(tmp_path / "clip")
    with pytest.raises(ResourceError, match="clip exists") as caught, atomic_folder(tmp_path / "clip"):
        raise AssertionError("nothing is written")
    assert caught.value.code == "output-exists"
    assert names(tmp_path) == ["clip", "clip/precious.txt"]


def test_a_folder_made_during_the_block_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(ResourceError), atomic_folder(tmp_path / "clip"):
        make_user_folder(tmp_path / "clip")
    assert names(tmp_path) == ["clip", "clip/precious.txt"]


def test_only_partial_folders_of_masklet_are_removed(tmp_path: Path) -> None:
    make_user_folder(tmp_path / PARTIAL)
    others = ["loot.part", ".clip.part", ".masklet-x.part", f"{PARTIAL}.old"]
    for name in others:
        make_user_folder(tmp_path / name)
    remove_partial_folders(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    remove_partial_folders(tmp_path / "missing")


def test_links_are_not_followed(tmp_path: Path) -> None:
    mine = make_user_folder(tmp_path / "mine")
    (tmp_path / "link").symlink_to(mine)
    with pytest.raises(ResourceError, match="link is a link") as caught:
        remove_folder(tmp_path / "link")
    assert caught.value.exit_status == 73
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/link").symlink_to(mine)
    remove_folder(tmp_path / "ours")
    remove_folder(tmp_path / "ours")  # it does not exist any more
    assert names(tmp_path) == ["link", "mine", "mine/precious.txt"]


def test_a_path_that_the_system_refuses_is_an_unwritable_output(tmp_path: Path) -> None:
    assert output_exists(tmp_path) and not output_exists(tmp_path / "missing")
    with pytest.raises(ResourceError, match=os.strerror(errno.ENAMETOOLONG)) as caught:
        output_exists(tmp_path / ("x" * 300))
    assert caught.value.exit_status == 73


def test_only_one_module_removes_folders() -> None:
    package = Path(masklet.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"rmtree", "rmdir", "removedirs"}
    }
    assert found == {"files/outputs.py"}


def make_job(out: Path, **note: object) -> None:
    """Make a finished job with a note of its outputs, and files of the user among them."""
    with FrameLog(out / ".masklet", {"of": "a test"}) as journal:
        journal.add_note(**note)
    make_user_folder(out / "png")
    (out / "coco.json").write_text("{}")


def test_clearing_removes_the_folders_that_the_job_made(tmp_path: Path) -> None:
    make_job(tmp_path, formats=["png", "coco"], created=["png"])
    remove_job(tmp_path)
    assert names(tmp_path) == [".masklet", ".masklet/lock"]


def test_clearing_leaves_a_folder_that_was_there_before_the_job(tmp_path: Path) -> None:
    make_job(tmp_path, formats=["png", "coco"], created=[])
    remove_job(tmp_path)
    assert names(tmp_path) == [".masklet", ".masklet/lock", "png", "png/precious.txt"]


def test_clearing_removes_what_a_job_of_an_earlier_version_wrote(tmp_path: Path) -> None:
    make_job(tmp_path, formats=["png", "coco"])
    remove_job(tmp_path)
    assert names(tmp_path) == [".masklet", ".masklet/lock"]


def test_clearing_follows_no_link(tmp_path: Path) -> None:
    mine = make_user_folder(tmp_path / "mine")
    out = tmp_path / "out"
    make_job(out, formats=["png"], created=["png"])
    remove_folder(out / "png")
    (out / "png").symlink_to(mine)
    remove_job(out)
    assert names(mine) == ["precious.txt"] and (out / "png").is_symlink()


def test_clearing_removes_only_files_of_the_job_from_its_folder(tmp_path: Path) -> None:
    make_job(tmp_path, formats=["coco"], created=[])
    folder = tmp_path / ".masklet"
    for name in ("state-12.session", ".masklet-1.part", "mine.txt"):
        (folder / name).write_text("")
    make_user_folder(folder / "mine")
    remove_job(tmp_path)
    assert names(folder) == ["lock", "mine", "mine.txt", "mine/precious.txt"]


@pytest.mark.parametrize("formats", ["png", ["../mine"], [["png"]], 7, {"png": 1}, None])
def test_clearing_takes_no_paths_from_a_frame_log(formats: object, tmp_path: Path) -> None:
    mine = make_user_folder(tmp_path / "mine")
    make_job(tmp_path / "out", formats=formats, created=formats)
    remove_job(tmp_path / "out")
    assert names(mine) == ["precious.txt"]
    assert not (tmp_path / "out/.masklet/journal.jsonl").exists()

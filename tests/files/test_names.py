"""Names that are read from files are accepted only if they cannot leave their folder."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from masklet.errors import FormatError, InputNotFound, MaskletError
from masklet.files.names import MAX_NAME_BYTES, MAX_PATH_BYTES, check_name, check_relative

NAMES = [
    "00001",
    "blackswan",
    "0a1b2c3d",
    "sav_000007",
    "sa_223750.jpg",
    "a..b.png",
    "..hidden",
    "trailing..",
    "-dash",
    "a b  c.tif",
    " leading space",
    "dog (1).v2",
    "~home",
    "12:30.png",
    "Привет",
    "犬.png",
    "un café.webp",
    "e\u0301",
    "\U0001f408.png",
    "100%",
    "$HOME",
    "new\nline",
    "x" * MAX_NAME_BYTES,
]
PATHS = [
    "val2017/000000000139.jpg",
    "a/b/c/d.e/f",
    "COCO_train2014_000000000009.jpg",
    "Aachen/aachen 000000.png",
    "/".join(["x" * 200] * 20),
]
BAD = [
    ("", "is empty"),
    (".", r"has the part '\.'"),
    ("..", r"has the part '\.\.'"),
    ("...", r"has the part '\.\.\.'"),
    (".. ", r"has the part '\.\. '"),
    (" ", "has the part ' '"),
    ("C:evil", "begins with a drive letter"),
    ("c:", "begins with a drive letter"),
    ("1:30", "begins with a drive letter"),
    ("a\\b", "holds a backslash"),
    ("..\\..\\loot", "holds a backslash"),
    ("a\0b", "holds a NUL character"),
    ("\ud800", "holds half of a surrogate pair"),
    (7, "is not text"),
    (None, "is not text"),
    (["a"], "is not text"),
]
CLIMBING = ["../../loot", "./../../loot", "a/../../loot", "a/..", "./a", "a/./b"]
ROOTED = ["/etc/passwd", "/", "//server/share", "C:/evil", "c:\\evil", "\\\\server\\share"]
HOLLOW = ["a//b", "a/", "a/ /b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_real_datasets_are_accepted(name: str) -> None:
    assert check_name(name, "list.txt") == name
    assert check_relative(name, "list.txt") == name


@pytest.mark.parametrize("name", PATHS)
def test_relative_paths_of_real_datasets_are_accepted(name: str) -> None:
    assert check_relative(name, "instances.json") == name


@pytest.mark.parametrize(("name", "reason"), BAD)
def test_an_invalid_name_is_refused(name: object, reason: str) -> None:
    for check in (check_name, check_relative):
        with pytest.raises(FormatError, match=f"^list.txt: the name .* {reason}") as caught:
            check(name, "list.txt")
        assert (caught.value.code, caught.value.exit_status) == ("dataset-broken", 65)


@pytest.mark.parametrize("name", [*CLIMBING, *ROOTED, *HOLLOW])
def test_a_path_that_leaves_its_folder_is_refused(name: str) -> None:
    for check in (check_name, check_relative):
        with pytest.raises(FormatError) as caught:
            check(name, "list.txt")
        assert caught.value.code == "dataset-broken"


@pytest.mark.parametrize("name", PATHS[:2])
def test_a_name_with_folders_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="holds a slash"):
        check_name(name, "list.txt")


@pytest.mark.parametrize("name", ["x" * (MAX_NAME_BYTES + 1), "犬" * 86, "x" * 5000])
def test_a_name_that_is_too_long_is_unreadable(name: str) -> None:
    for check in (check_name, check_relative):
        with pytest.raises(InputNotFound, match=r"list\.txt: no file can have the name '") as caught:
            check(name, "list.txt")
        assert (caught.value.code, caught.value.exit_status) == ("input-unreadable", 66)
        assert len(str(caught.value)) < 200, "a long name is cut in the message"


def test_a_path_that_is_too_long_is_unreadable() -> None:
    path = "/".join(["x" * 200] * 21)
    assert len(path) > MAX_PATH_BYTES
    with pytest.raises(InputNotFound, match="of at most 4096"):
        check_relative(path, "instances.json")


PIECES = st.sampled_from(["..", ".", "/", "\\", "\0", "C:", " ", "a", "b.png", "..a", "é", "\ud800", "x" * 200])
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=8).map("".join))


@given(TEXTS)
@example("a/../..")
@example("0:")
@example("é:/b")
@example(".. /..")
def test_an_accepted_path_stays_below_its_folder(name: str) -> None:
    try:
        check_relative(name, "list.txt")
    except MaskletError as error:
        assert error.exit_status in (65, 66)
        return
    for root in ("/data/set", "set"):
        assert posixpath.normpath(posixpath.join(root, name)).startswith(f"{root}/")
        assert Path(root) in (Path(root) / name).parents
    on_windows = PureWindowsPath("D:/data/set") / name
    assert on_windows.is_relative_to("D:/data/set") and ".." not in on_windows.parts
    assert all(len(os.fsencode(part)) <= MAX_NAME_BYTES for part in name.split("/"))


@given(TEXTS)
def test_an_accepted_name_is_one_component(name: str) -> None:
    try:
        check_name(name, "list.txt")
    except MaskletError as error:
        assert error.exit_status in (65, 66)
        return
    assert (Path("set") / name).parts == ("set", name)
    assert len((PureWindowsPath("D:/set") / name).parts) == 3
    assert check_relative(name, "list.txt") == name


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,80}(/[A-Za-z0-9_][A-Za-z0-9_. -]{0,80}){0,4}", fullmatch=True))
def test_ordinary_paths_are_accepted(name: str) -> None:
    assert check_relative(name, "list.txt") == name

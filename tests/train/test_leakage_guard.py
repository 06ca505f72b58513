"""Pictures that models are measured on are recognised by their bytes, whatever they are called."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from masklet.errors import FormatError, InputNotFound, SettingsError
from masklet.train import leakage_guard


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    folder = tmp_path / "measured"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.jpg").write_bytes(name.encode() * 100)
    (tmp_path / "list.txt").write_text("# what we measure on\n" + leakage_guard.listed(folder))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "pictures"
    folder.mkdir(parents=True)
    (folder / "other.jpg").write_bytes(b"xyz" * 100)  # as long as the measured ones
    return folder.parent


def test_a_list_is_read_as_it_was_made(measured: Path) -> None:
    assert [(entry.name, entry.bytes) for entry in leakage_guard.read(measured.parent / "list.txt")] == [
        ("one.jpg", 300),
        ("two.jpg", 300),
    ]


def test_other_pictures_pass(measured: Path, data: Path) -> None:
    leakage_guard.refuse([data], leakage_guard.read(measured.parent / "list.txt"))


def test_a_frozen_picture_is_found_under_another_name(measured: Path, data: Path) -> None:
    shutil.copy(measured / "two.jpg", data / "pictures" / "innocent.jpg")
    with pytest.raises(SettingsError, match=r"innocent\.jpg is two\.jpg") as error:
        leakage_guard.refuse([data], leakage_guard.read(measured.parent / "list.txt"))
    assert error.value.code == "frozen-data"


def test_an_index_file_stands_for_its_folder(measured: Path, data: Path) -> None:
    (data / "index.json").write_text("{}")
    shutil.copy(measured / "one.jpg", data / "pictures")
    with pytest.raises(SettingsError):
        leakage_guard.refuse([data / "index.json"], leakage_guard.read(measured.parent / "list.txt"))


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        leakage_guard.read(tmp_path / "none.txt")
    (tmp_path / "bad.txt").write_text("not a list\n")
    with pytest.raises(FormatError, match="SHA-256"):
        leakage_guard.read(tmp_path / "bad.txt")

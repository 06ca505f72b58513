"""Leakage guard: files of benchmarks are recognized by their content under any name."""

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
    (tmp_path / "list.txt").write_text("# benchmark\n" + leakage_guard.list_files(folder))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "images"
    folder.mkdir(parents=True)
    (folder / "other.jpg").write_bytes(b"xyz" * 100)  # as many bytes as the measured files
    return folder.parent


def test_a_list_is_read_as_it_was_written(measured: Path) -> None:
    assert [(entry.name, entry.bytes) for entry in leakage_guard.read_list(measured.parent / "list.txt")] == [
        ("one.jpg", 300),
        ("two.jpg", 300),
    ]


def test_other_images_pass(measured: Path, data: Path) -> None:
    leakage_guard.check_leakage([data], leakage_guard.read_list(measured.parent / "list.txt"))


def test_a_measured_image_is_found_under_another_name(measured: Path, data: Path) -> None:
    shutil.copy(measured / "two.jpg", data / "images" / "renamed.jpg")
    with pytest.raises(SettingsError, match=r"renamed\.jpg is the benchmark file two\.jpg") as error:
        leakage_guard.check_leakage([data], leakage_guard.read_list(measured.parent / "list.txt"))
    assert error.value.code == "frozen-data"


def test_the_folder_of_an_index_file_is_checked(measured: Path, data: Path) -> None:
    (data / "index.json").write_text("{}")
    shutil.copy(measured / "one.jpg", data / "images")
    with pytest.raises(SettingsError):
        leakage_guard.check_leakage([data / "index.json"], leakage_guard.read_list(measured.parent / "list.txt"))


def test_a_missing_or_malformed_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        leakage_guard.read_list(tmp_path / "none.txt")
    (tmp_path / "bad.txt").write_text("not a list\n")
    with pytest.raises(FormatError, match="SHA-256"):
        leakage_guard.read_list(tmp_path / "bad.txt")

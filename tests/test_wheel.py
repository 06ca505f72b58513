"""The wheel: its files, suffixes and size, and that the package does not import the development tools."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).resolve().parents[1]
LICENSES = {"LICENSE", "LICENSES.md", "MODEL_CARD.md", "docs/attribution/images.md", "docs/attribution/pack.md"}
"""Licenses of the code and of the embedded weights, and of the material that the weights were trained on."""
METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", *(f"licenses/{name}" for name in LICENSES)}
PAGE = ROOT / "src" / "masklet" / "studio" / "web"
PAGE_SUFFIXES = {".css", ".html", ".js", ".svg"}
WIDGETS = {"napari/napari.yaml", "notebook/segment_widget.css", "notebook/segment_widget.js"}
DATA_FILES = {"py.typed", "weights/nano.safetensors", *(f"integrations/{name}" for name in WIDGETS)}
MAX_PAGE_BYTES = 400_000
MAX_WHEEL_BYTES = 13_000_000  # 11.5 MB on 2026-11-30, of which the weights are 10.9 MB


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [path] = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[PurePosixPath]:
    with zipfile.ZipFile(wheel) as archive:
        return [PurePosixPath(name) for name in archive.namelist()]


def package_files(names: list[PurePosixPath]) -> list[PurePosixPath]:
    return [name for name in names if name.parts[0] == "masklet"]


def test_the_wheel_has_the_package_and_its_metadata_only(names: list[PurePosixPath]) -> None:
    folders = {name.parts[0] for name in names}
    [metadata] = folders - {"masklet"}
    assert metadata.startswith("masklet-") and metadata.endswith(".dist-info")
    assert {str(PurePosixPath(*name.parts[1:])) for name in names if name.parts[0] == metadata} == METADATA


def test_the_wheel_has_the_licenses_as_in_the_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {
            name.partition(".dist-info/licenses/")[2]: archive.read(name)
            for name in archive.namelist()
            if ".dist-info/licenses/" in name
        }
    assert found == {name: (ROOT / name).read_bytes() for name in LICENSES}


def test_third_party_files_of_the_package_have_their_license_in_the_wheel() -> None:
    """LICENSES.md has a row for each file of other authors. One below src needs its license text among `LICENSES`."""
    rows = re.findall(r"^\| [^|`]*`([^`|]+)`", (ROOT / "LICENSES.md").read_text(), flags=re.MULTILINE)
    assert len(rows) > 10 and not [name for name in rows if name.startswith("src/")]
    header = re.compile(r"@license|SPDX-License|Copyright|Licensed under|MIT License|BSD", re.IGNORECASE)
    assert not [path for path in PAGE.rglob("*.*") if header.search(path.read_text())]


def test_the_wheel_has_every_module_of_the_package(names: list[PurePosixPath]) -> None:
    modules = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "masklet").rglob("*.py")}
    assert {str(name) for name in package_files(names) if name.suffix == ".py"} == modules


def test_the_pages_are_small() -> None:
    """The files of the folder `web`, which are neither compressed nor minified."""
    assert sum(path.stat().st_size for path in PAGE.rglob("*.*")) < MAX_PAGE_BYTES


def test_the_wheel_has_the_data_files_of_the_package_and_no_others(names: list[PurePosixPath]) -> None:
    page = {path.relative_to(ROOT / "src" / "masklet").as_posix() for path in PAGE.rglob("*.*")}
    assert {PurePosixPath(name).suffix for name in page} == PAGE_SUFFIXES
    data = {str(name.relative_to("masklet")) for name in package_files(names) if name.suffix != ".py"}
    assert data == DATA_FILES | page


def test_the_wheel_has_no_tests_and_no_development_tools(names: list[PurePosixPath]) -> None:
    folders = {part for name in package_files(names) if "web" not in name.parts for part in name.parts[:-1]}
    assert folders.isdisjoint({"tools", "tests", "scripts", "benchmarks", "examples", "docs", "packs"})
    assert not [name for name in names if name.stem.startswith(("test_", "conftest"))]
    assert "marks.json" not in {name.name for name in names}


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


def test_the_package_does_not_import_the_development_tools() -> None:
    for path in sorted((ROOT / "src" / "masklet").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in modules if name.split(".")[0] in ("tools", "tests", "benchmarks")], path

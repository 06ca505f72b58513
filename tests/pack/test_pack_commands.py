"""Commands of `python -m tools.pack`."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from masklet.synthetic.pack import Pack
from support.tiny_pack import SHADED, SOURCE, tiny_pack, write_packages
from tools.pack import cli
from tools.pack.build_pack import build_pack
from tools.pack.cli import main

ROOT = Path(__file__).resolve().parents[2]
LONG = "x" * 300


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return tiny_pack(tmp_path_factory.mktemp("tiny"))


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_build_does_not_replace_a_pack(pack: Pack, tmp_path: Path) -> None:
    before = read_files(pack.root)
    assert main(["build", str(pack.root), "--packages", str(tmp_path)]) == 73
    assert read_files(pack.root) == before


def test_the_error_names_the_package_that_cannot_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["build", str(tmp_path / "pack"), "--packages", str(tmp_path)]) == 75
    assert "tuxpaint-stamps-default" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--licenses", "--licences"])
def test_build_writes_a_pack_with_renderings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.setattr(cli, "build_pack", partial(build_pack, sources=(SOURCE, SHADED)))
    packages, root = write_packages(tmp_path / "packages"), tmp_path / "pack"
    assert main(["build", str(root), option, "strict", "--packages", str(packages), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["licences"] == "strict" and record["assets"] == sum(record["kinds"].values())
    assert list(root.glob("renders-*/index.json"))
    assert read_files(tiny_pack(tmp_path / "again", "strict").root).items() <= read_files(root).items()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["outlines", LONG, "o"], 66),
        (["add-outlines", LONG, LONG], 66),
        (["build", LONG], 73),
        (["build", "o", "--packages", LONG], 73),
    ],
    ids=lambda value: " ".join(value).replace(LONG, "LONG") if isinstance(value, list) else "",
)
def test_a_path_that_is_too_long_is_reported(
    words: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == status
    assert os.strerror(errno.ENAMETOOLONG) in capsys.readouterr().err


def test_a_wrong_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "pack", "--color"]) == 2
    assert "python -m tools.pack build --help" in capsys.readouterr().err


def test_the_module_runs_from_the_root_of_the_repository() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tools.pack", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0 and "add-outlines" in result.stdout

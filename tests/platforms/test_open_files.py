"""Windows refuses to replace a file that another program has open. Simulated by `os.replace` that raises."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.errors import ResourceError
from masklet.files.atomic import atomic_link, atomic_write
from support.gray_world import draw_boxes


@pytest.fixture
def open_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every existing file be open in another program of Windows, which does not share it."""
    rename = os.replace

    def replace(source: Any, target: Any, **options: Any) -> None:
        if os.path.exists(target):  # noqa: PTH110 - pathlib calls this function
            raise PermissionError(13, "Access is denied", str(source), 5, str(target))
        rename(source, target, **options)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.usefixtures("open_elsewhere")
def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_bytes(b"old")
    match = r"masks\.json cannot be replaced: Access is denied; close the program that has it open and run it again"
    with pytest.raises(ResourceError, match=match) as caught, atomic_write(path) as handle:
        handle.write(b"new")
    assert caught.value.code == "output-unwritable"
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"masks.json": b"old"}


@pytest.mark.usefixtures("open_elsewhere")
def test_a_link_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    source, path = tmp_path / "a.jpg", tmp_path / "b.jpg"
    source.write_bytes(b"new")
    path.write_bytes(b"old")
    with pytest.raises(ResourceError, match="close the program that has it open"):
        atomic_link(source, path)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"a.jpg": b"new", "b.jpg": b"old"}


@pytest.mark.usefixtures("open_elsewhere", "gray_world")
def test_the_command_line_names_the_open_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "a.png"
    Image.fromarray(draw_boxes({50: (0, 0, 8, 8)})).save(image)
    words = ["segment", str(image), "--box", "0,0,8,8", "--out", str(tmp_path / "out"), "--format", "coco", "--json"]
    assert main(words) == 0
    [written] = json.loads(capsys.readouterr().out)["pictures"][0]["files"].values()
    before = Path(written).read_bytes()
    assert main([*words, "--overwrite"]) == 73
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "output-unwritable"
    assert error["message"] == (
        f"{written} cannot be replaced: Access is denied; close the program that has it open and run it again"
    )
    assert Path(written).read_bytes() == before

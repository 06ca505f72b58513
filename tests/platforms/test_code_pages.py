"""A console with an old code page, such as cp1252 of Windows, shows every message. Simulated by PYTHONIOENCODING."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from masklet.cli.commands import app
from masklet.cli.main import main
from masklet.cli.streams import open_standard_streams
from support.gray_world import draw_boxes

ESCAPE = re.compile(r"\\u[0-9a-f]{4}|\\x[0-9a-f]{2}")


def list_commands() -> list[list[str]]:
    """List all commands as words, from the program itself to the commands of groups."""
    found: list[list[str]] = [[]]
    for words in found:
        command = get_command(app)
        for word in words:
            command = command.commands[word]  # type: ignore[attr-defined]
        found += [[*words, name] for name in getattr(command, "commands", {})]
    return found


@contextmanager
def code_page() -> Iterator[Callable[[], str]]:
    """Give stdout and stderr the encoding cp1252 while the block runs. Yields a function that returns their text."""
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="cp1252", write_through=True)
    with redirect_stdout(stream), redirect_stderr(stream):
        yield lambda: written.getvalue().decode("cp1252")


def test_characters_that_a_code_page_lacks_are_written_in_ascii() -> None:
    with code_page() as read:
        open_standard_streams()
        print("3 × 4 µm … – 25 → 196, IoU ≥ 85 %, −1; кот ✓")
        assert read() == r"3 × 4 µm … – 25 -> 196, IoU >= 85 %, -1; \u043a\u043e\u0442 \u2713" + "\n"


@pytest.mark.parametrize("words", list_commands(), ids=" ".join)
def test_the_help_of_each_command_is_shown_without_escapes(words: list[str]) -> None:
    with code_page() as read:
        assert main([*words, "--help"]) == 0
        assert "Usage: masklet" in read() and not ESCAPE.search(read())


@pytest.mark.usefixtures("gray_world")
def test_a_command_names_its_files_without_escapes(tmp_path: Path) -> None:
    Image.fromarray(draw_boxes({50: (0, 0, 8, 8)})).save(tmp_path / "a.png")
    words = ["segment", str(tmp_path / "a.png"), "--box", "0,0,8,8", "--out", str(tmp_path / "out"), "--format", "coco"]
    with code_page() as read:
        assert main(words) == 0
        assert "  -> " in read() and not ESCAPE.search(read())


def test_a_progress_bar_is_drawn_on_a_terminal_with_an_old_code_page() -> None:
    program = (
        "from masklet.cli.streams import open_standard_streams as open_streams; open_streams()\n"
        "from masklet.cli.console import progress\n"
        "with progress('tracking → кот') as report: report(3, 6); report(6, 6)"
    )
    terminal, child = pty.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.run([sys.executable, "-c", program], stderr=child, env=environment, timeout=60)
    os.close(child)
    shown = b""
    try:
        while part := os.read(terminal, 1 << 16):
            shown += part
    except OSError:  # the end of a terminal
        pass
    os.close(terminal)
    assert process.returncode == 0, shown.decode("cp1252")
    assert rb"tracking -> \u043a\u043e\u0442" in shown and b"6/6" in shown

"""Options that commands share: `--input-size` and its old name, option groups, and the help texts."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.main import get_command

from masklet.cli.commands import app
from masklet.cli.main import main
from masklet.cli.option_groups import expand_groups
from masklet.cli.options import ModelOptions, parse_formats
from masklet.errors import SettingsError

WITH_INPUT_SIZE = [
    ["segment", "image.png", "--point", "5,5"],
    ["track", "frames", "--point", "5,5"],
    ["webcam", "--no-preview", "--point", "5,5"],
    ["everything", "image.png"],
    ["evaluate", "images", "data"],
    ["evaluate", "vos", "data"],
    ["evaluate", "interactive", "data"],
    ["export", "onnx", "nano", "folder"],
]


@dataclass(frozen=True)
class Pair:
    """A group of two options and a field that is none."""

    first: Annotated[int, typer.Option(min=0)] = 1
    second: Annotated[str | None, typer.Option("--other")] = None
    internal: str = "constant"


def commands(group: Any, name: str = "masklet") -> dict[str, Any]:
    """Every command of the program by its full name."""
    found = {}
    for key, command in group.commands.items():
        full = f"{name} {key}"
        found |= commands(command, full) if hasattr(command, "commands") else {full: command}
    return found


def test_a_group_is_expanded_to_one_option_per_annotated_field() -> None:
    @expand_groups
    def command(name: str, *, pair: Pair, last: bool = False) -> tuple[str, Pair, bool]:
        return name, pair, last

    parameters = inspect.signature(command).parameters
    assert list(parameters) == ["name", "first", "second", "last"]
    assert (parameters["first"].default, parameters["second"].default) == (1, None)
    assert command(name="a", first=3, second="b", last=True) == ("a", Pair(3, "b"), True)


@pytest.mark.parametrize("words", WITH_INPUT_SIZE, ids=lambda words: " ".join(words[:2]))
def test_size_and_input_size_together_are_wrong_usage(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--size", "64", "--input-size", "128"]) == 2
    error = capsys.readouterr().err
    assert "--size is the old name of --input-size, got --size 64 and --input-size 128" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", WITH_INPUT_SIZE, ids=lambda words: " ".join(words[:2]))
def test_help_lists_input_size_and_not_size(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command = words[:2] if words[0] in ("evaluate", "export") else words[:1]
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--input-size" in text and not re.search(r"(?<![\w-])--size\b", text)


def test_size_has_the_effect_of_input_size() -> None:
    assert ModelOptions(size=64).input_size == ModelOptions(input_size=64).input_size == 64
    with pytest.raises(SettingsError, match="give --input-size only"):
        ModelOptions(input_size=64, size=64)


@pytest.mark.parametrize("option", ["--size", "--input-size"])
def test_a_model_is_loaded_with_either_name(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "image.png")
    words = ["segment", str(tmp_path / "image.png"), "--point", "5,5", "--out", str(tmp_path / "out")]
    assert main([*words, option, "33"]) == 78
    assert "[bad-size]" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "names"), [("png", ["png"]), (" png , rle,png,", ["png", "rle"])])
def test_formats_are_names_separated_by_commas(text: str, names: list[str]) -> None:
    assert parse_formats(text, ("png", "rle")) == names


@pytest.mark.parametrize("text", ["", ",", "gif", "png,gif"])
def test_an_unknown_format_is_wrong_usage(text: str) -> None:
    with pytest.raises(SettingsError, match="formats are png, rle"):
        parse_formats(text, ("png", "rle"))


@pytest.mark.parametrize("name", commands(get_command(app)))
def test_every_option_has_a_help_text(name: str) -> None:
    command = commands(get_command(app))[name]
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    assert all((getattr(parameter, "help", None) or "").endswith((".", "…")) for parameter in shown)
    assert command.help.split("\n\n")[0].endswith(".")


@pytest.mark.parametrize("name", commands(get_command(app)))
def test_paragraphs_of_the_help_are_single_lines(name: str) -> None:
    assert all("\n" not in paragraph for paragraph in commands(get_command(app))[name].help.split("\n\n"))

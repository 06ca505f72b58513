"""The page about text prompts: its Python runs, its commands exist, and the example of a detector finds colors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

import masklet
from masklet.cli.commands import app
from masklet.detectors.detections import identify, run_detector
from masklet.detectors.load import load_detector
from masklet.errors import BackendError
from masklet.segmenter import Segmenter
from support.clips import write_clip
from support.gray_world import GrayWorld

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "integrations" / "text-prompts.md").read_text()
COLORS = "examples.color_detector:ColorDetector"


def draw(**boxes: tuple[int, int, int, int]) -> Any:
    """Draw boxes by the name of their color on black."""
    image = Image.new("RGB", (120, 80))
    for color, (x0, y0, x1, y1) in boxes.items():
        image.paste(color, (x0, y0, x1, y1))
    return np.asarray(image)


def test_the_example_finds_regions_of_colors() -> None:
    image = draw(white=(10, 20, 50, 60), orange=(70, 10, 110, 40))
    found = run_detector(load_detector(COLORS, "orange, white, blue"), image)
    by_label = dict(zip(found.labels, found.boxes.tolist(), strict=True))
    assert by_label == {"white": [10, 20, 50, 60], "orange": [70, 10, 110, 40]} and found.scores.min() > 0.9
    assert identify(load_detector(COLORS, "red")) == "colors red"
    with pytest.raises(BackendError, match="cat"):
        load_detector(COLORS, "cat")


@pytest.mark.slow
def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(masklet, "load", lambda: Segmenter(GrayWorld()))
    Image.fromarray(draw(white=(10, 20, 50, 60))).save("street.jpg")
    write_clip(tmp_path / "clip.mp4", 3)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    assert names["frame"].index == 2 and names["detections"].labels == ("left",)


def test_the_commands_of_the_page_have_these_options() -> None:
    commands: Any = get_command(app)
    written = re.findall(r"masklet (segment|track|studio) ((?:.|\\\n)*?)(?<!\\)$", PAGE, flags=re.MULTILINE)
    assert len(written) >= 5
    for name, text in written:
        known = {option for parameter in commands.commands[name].params for option in parameter.opts}
        assert {*re.findall(r"(?<=\s)--[\w-]+", text)} <= known, text
    listed = {*re.findall(r"^\| `(--[\w-]+)`", PAGE, flags=re.MULTILINE)}
    own = {parameter.opts[0] for parameter in commands.commands["track"].params}
    assert listed <= own and {one for one in own if one.startswith("--detect-")} <= listed

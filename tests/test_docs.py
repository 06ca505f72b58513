"""Guides: the Python and the commands that they show run, and the API reference is complete."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

import masklet
from masklet.cli.commands import app
from masklet.formats import FORMATS
from masklet.memory.policies import parse_memory
from masklet.segmenter import Segmenter
from masklet.video import cameras
from masklet.video.camera_connection import CameraImage
from masklet.views.view import View
from masklet.views.view_fields import view_of_zoom
from parity.inputs import frames as drawn
from support.clips import write_clip

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[1]
VIDEO = (ROOT / "docs" / "video.md").read_text()
TEXTS = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}  # README has test_readme.py
RECORDS = {"log"}  # kept word for word; what they quote is not the present program


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```(?:{language})\n(.*?)```", text, flags=re.DOTALL)


def pages_with(language: str) -> list[str]:
    return [name for name, text in TEXTS.items() if name not in RECORDS and blocks(language, text)]


def check_images(names: dict[str, Any], folder: Path) -> None:
    assert names["references"].object_ids == (1,) and names["masks"].labels == ("car",)
    assert max(names["found"].crops[0].size) == 1024
    assert (folder / "labels" / "coco.json").is_file() and (folder / "labels" / "yolo" / "labels" / "cat.txt").is_file()


def check_video(names: dict[str, Any], folder: Path) -> None:
    assert len(names["sizes"]) == len(names["frames"]) == 10
    assert names["tracker"].object_ids == (1,)
    assert {path.name for path in names["files"]} == {"png", "coco.json", "overlay.mp4"}


def check_everything(names: dict[str, Any], folder: Path) -> None:
    assert (folder / "street.json").is_file()
    assert len(names["masks"].object_ids) == len(names["found"])


def check_evaluation(names: dict[str, Any], folder: Path) -> None:
    assert names["annotation"].mask(names["object_id"]).any()


@dataclass(frozen=True)
class Guide:
    """What the Python blocks of a page need: names that they do not define, and the clips beside them.

    `check` looks at the names that the blocks leave behind and at the folder that they ran in.
    """

    names: Callable[[], dict[str, Any]] = dict
    frames: int = 10
    size: tuple[int, int] = (360, 640)
    check: Callable[[dict[str, Any], Path], None] = lambda names, folder: None


GUIDES = {
    "images": Guide(check=check_images),
    "video": Guide(check=check_video),
    "everything": Guide(frames=3, size=(96, 128), check=check_everything),
    "evaluation": Guide(check=check_evaluation),
}
"""The pages whose blocks need more than `Guide()` has."""


class FewFrames:
    """A camera with four frames."""

    live = False

    def __init__(self, index: int, size: object) -> None:
        self._frames = iter(drawn(4, 96, 128, 3))

    def read(self) -> CameraImage:
        try:
            return CameraImage(next(self._frames))
        except StopIteration:
            raise EOFError from None

    def close(self) -> None: ...


def fill(folder: Path, guide: Guide) -> None:
    """Put the files there that blocks read: examples, clips, an image, a dataset of one image."""
    (folder / "examples").symlink_to(ROOT / "examples")
    for name in ("dog.mp4", "clip.mp4"):
        write_clip(folder / name, guide.frames, size=guide.size)
    image = Image.fromarray(drawn(1, 96, 128, 3)[0])
    for name, size in (("street.jpg", (128, 96)), ("crossing.jpg", (120, 90)), ("aerial.jpg", (1600, 1200))):
        image.resize(size).save(folder / name)
    (folder / "photographs").mkdir()
    for name in ("cat.jpg", "dog.jpg"):
        image.save(folder / "photographs" / name)
    (folder / "boxes.csv").write_text("image,x0,y0,x1,y1\ncat.jpg,10,10,60,50\ndog.jpg,20,20,90,80\n")
    labels = np.zeros((96, 128), np.uint8)
    labels[20:60, 30:90] = 7
    for part, content in (("images", image), ("masks", Image.fromarray(labels))):
        (folder / "path" / "to" / "data" / part).mkdir(parents=True)
        content.save(folder / "path" / "to" / "data" / part / "one.png")


@pytest.mark.parametrize("page", pages_with("python"))
def test_the_python_of_the_page_runs(
    page: str, checkpoint: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = GUIDES.get(page, Guide())
    small = masklet.load(checkpoint("sam2.1-micro", 1), device="cpu", input_size=64)

    def load(
        *name: str, zoom: float = 0.0, view: View | None = None, memory: str | None = None, **runtime: str
    ) -> Segmenter:
        return Segmenter(small.backend, view or view_of_zoom(zoom), parse_memory(memory))

    monkeypatch.setattr(masklet, "load", load)
    monkeypatch.setattr(cameras, "OpenCvSource", FewFrames)
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, guide)
    names = guide.names()
    for block in blocks("python", TEXTS[page]):
        exec(compile(block, f"{page}.md", "exec"), names)
    guide.check(names, tmp_path)


def test_the_table_of_guides_names_pages_with_python() -> None:
    assert set(GUIDES) <= set(pages_with("python"))


@pytest.mark.parametrize("page", pages_with("bash|sh"))
def test_every_command_that_is_shown_can_be_read_by_the_program(page: str) -> None:
    shown = "".join(blocks("bash|sh", TEXTS[page])).replace("\\\n", " ")
    lines = [re.sub(r"\s#.*", "", line) for line in shown.splitlines()]
    commands = [words[1:] for line in lines if (words := shlex.split(line))[:1] == ["masklet"]]
    assert commands
    for words in commands:
        command: Any = get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        assert command.make_context(command.name, words)


def test_the_guide_to_video_has_every_format() -> None:
    assert re.findall(r"^\| `(\w+)` \| `", VIDEO, flags=re.MULTILINE) == list(FORMATS)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.[jm]p*")), ids=lambda path: path.name)
def test_every_example_is_small_and_has_a_licence(path: Path) -> None:
    assert path.stat().st_size <= 500_000
    assert f"| `examples/{path.name}` |" in (ROOT / "LICENSES.md").read_text()


def test_the_reference_lists_every_public_name_once() -> None:
    pages = "".join(path.read_text() for path in sorted((ROOT / "docs" / "api").glob("*.md")))
    assert sorted(re.findall(r"^\.\. auto\w+:: (\w+)$", pages, flags=re.MULTILINE)) == sorted(masklet.__all__)


@pytest.mark.parametrize("page", pages_with("python"))
def test_the_python_of_the_page_uses_public_names_only(page: str) -> None:
    code = "".join(blocks("python", TEXTS[page]))
    imported = re.findall(r"^(?:from|import) (masklet[\w.]*)", code, flags=re.MULTILINE)
    names = set(re.findall(r"\bmasklet\.(\w+)", code))
    for line in re.findall(r"^from masklet import (.+)$", code, flags=re.MULTILINE):
        names |= set(line.split(", "))
    assert set(imported) <= {"masklet", "masklet.compat.sam2"}
    assert names - {"compat"} <= set(masklet.__all__)

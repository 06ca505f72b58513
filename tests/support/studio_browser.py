"""A studio as its users have it: the command in a process, and its page in Chromium, with mouse and keyboard."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from masklet.project.project import Project

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TIMEOUT_MS = 60_000


def expect(target: Any) -> Any:
    """Return Playwright's assertions about a locator or page, which wait until they hold."""
    from playwright.sync_api import expect

    return expect(target)


class StudioProcess:
    """The command `masklet studio` in a process.

    Args:
        project: The folder of the project.
        paths: Images, videos and folders.
        options: Further options of the command.
    """

    def __init__(self, project: Path, paths: Sequence[Path] = (), options: Sequence[str] = ()) -> None:
        self.project, self._options = project, options
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._entry: str | None = None
        self.start(paths)

    def start(self, paths: Sequence[Path] = ()) -> None:
        """Start the server, at the same port as before. It need not be ready yet."""
        command = [sys.executable, "-m", "masklet", "studio", *map(str, paths), "--project", str(self.project)]
        command += ["--port", str(self.port), "--no-browser", "--json", *self._options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=EXAMPLES.parent
        )
        self._entry = None

    @property
    def entry(self) -> str:
        """The address of the private file that opens the page."""
        if self._entry is None:
            assert self._process
            assert self._process.stdout
            record = json.loads(self._process.stdout.readline())
            self.port, self._entry = record["port"], f"file://{record['entry']}"
        return self._entry

    @property
    def address(self) -> str:
        """The address of the page, for windows that have entered."""
        return f"http://127.0.0.1:{self.port}/" if self.entry else ""

    @contextmanager
    def read(self) -> Iterator[Project]:
        """Open a copy of the project as it is on the disk now."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "project"
            shutil.copytree(self.project, copy, ignore=shutil.ignore_patterns("exports", "*lock*", ".*"))
            with Project.open(copy, create=False) as project:
                yield project

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process
        return self._process.pid

    def kill(self) -> None:
        """End the server as a crash does."""
        self._end(signal.SIGKILL)

    def close(self) -> int:
        """End the server as the system does, since Ctrl-C is ignored by processes in the background of a script.

        Returns:
            The exit status; 0 if the server has been ended before.
        """
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout
        process.stdout.close()
        return process.returncode

    def __enter__(self) -> StudioProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class StudioPage:
    """The page of a studio in a window, operated with mouse and keyboard.

    Args:
        context: A Playwright context.
        studio: The studio.
        empty: Whether the project has no images or videos yet.
    """

    def __init__(self, context: Any, studio: StudioProcess, *, empty: bool = False) -> None:
        self.context = context
        self.page = context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.problems: list[str] = []
        self.ignored = "GPU stall"
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note)
        self.keyboard = self.page.keyboard
        self.enter(studio, empty=empty)

    def enter(self, studio: StudioProcess, *, empty: bool = False) -> None:
        """Open the private file, and wait for the project."""
        self.page.goto(studio.entry)
        self.wait_until_open(empty=empty)

    def wait_until_open(self, *, empty: bool = False) -> None:
        """Wait until the project is shown."""
        self.status("Connected").wait_for()
        if empty:
            return
        self.medium().first.wait_for()
        self.page.locator("canvas[aria-busy=false]").wait_for()

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning") and self.ignored not in message.text:
            self.problems.append(message.text)

    # Parts of the page

    def button(self, name: str, **options: Any) -> Any:
        """Return the button of an accessible name."""
        return self.page.get_by_role("button", name=name, **{"exact": True, **options})

    def region(self, name: str) -> Any:
        """Return a part of the page by its accessible name."""
        return self.page.get_by_label(name, exact=True)

    def status(self, text: str) -> Any:
        """Return a text of the status line."""
        return self.page.locator("#status-line").get_by_text(text, exact=True)

    def medium(self, name: str | None = None) -> Any:
        """Return an image or video in the list, or all."""
        options = self.page.get_by_role("option")
        return options if name is None else options.filter(has_text=name)

    def objects(self) -> Any:
        """Return the rows of the list of objects."""
        return self.page.get_by_role("list", name="Objects", exact=True).get_by_role("listitem")

    def mask(self) -> Any:
        """Return the text that says what mask the selected object has on the frame."""
        return self.page.locator("#properties .labelled", has_text="Mask").locator("span").last

    def message(self, text: str) -> Any:
        """Return a message at the edge of the page."""
        return self.region("Messages").get_by_text(text)

    # Mouse

    def open(self, name: str) -> None:
        """Show an image or video of the list."""
        self.medium(name).click()
        self.page.locator("[role=option][aria-selected=true]", has_text=name).wait_for()
        self.page.locator("canvas[aria-busy=false]").wait_for()

    def position(self, x: float, y: float, size: tuple[int, int]) -> tuple[float, float]:
        """Return where a pixel (x, y) of an image of a size (width, height) is on the page while all of it is shown."""
        box = self.page.locator("#canvas-area canvas").first.bounding_box()
        scale = min(box["width"] / size[0], box["height"] / size[1])
        left = box["x"] + (box["width"] - scale * size[0]) / 2
        top = box["y"] + (box["height"] - scale * size[1]) / 2
        return left + scale * x, top + scale * y

    def click(self, x: float, y: float, size: tuple[int, int], **options: Any) -> None:
        """Click on a pixel of the image."""
        self.page.mouse.click(*self.position(x, y, size), **options)

    def drag(self, size: tuple[int, int], *points: tuple[float, float]) -> None:
        """Drag through pixels of the image."""
        self.page.mouse.move(*self.position(*points[0], size))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.position(*point, size), steps=3)
        self.page.mouse.up()

    def press(self, *keys: str) -> None:
        """Press keys or combinations such as `Control+z`."""
        for key in keys:
            self.keyboard.press(key)


@contextmanager
def open_window(
    browser: Any, studio: StudioProcess, *, empty: bool = False, script: str = "", **options: Any
) -> Iterator[StudioPage]:
    """Open a window of its own on a studio. At the end, the console must have no errors.

    Args:
        browser: The browser.
        studio: The studio.
        empty: Whether the project has no images or videos yet.
        script: A script that runs before those of the page.
        options: Options of the window, such as `color_scheme`.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
    if script:
        context.add_init_script(script)
    try:
        window = StudioPage(context, studio, empty=empty)
        yield window
        assert not window.problems, "\n".join(window.problems)
    finally:
        context.close()

"""The studio's page in headless Chromium, whose WebGL runs in software, with the server on this machine. Times in ms.

Clicks and previews are measured at ten places of each image of `examples`, which are encoded before: from the event of
the mouse until the mask is drawn, and from the request until the mask has arrived (`server`). A frame step is from the
key until the frame is drawn. Panning is the script time of the processor for each of 60 mouse moves, from traces of
Chromium. The long videos have two hours of 64 × 48 pixels; `added` is from the search for new files until it is in the
list, and `opened` from the click on it until its first frame is drawn. Memory is that of the server afterwards.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import ROOT

sys.path.insert(0, str(ROOT / "tests"))  # the page is operated with what the tests use

from masklet.project.cells import Cell
from masklet.project.media import add_media
from masklet.project.project import Project
from support.browser import launch_chromium
from support.studio_browser import EXAMPLES, StudioPage, StudioProcess, expect, open_window

IMAGES = {"cat.jpg": (451, 300), "coffee.jpg": (600, 400), "fish.jpg": (320, 214), "rocket.jpg": (640, 427)}
PLACES = tuple((0.2 + 0.06 * step, 0.3 + 0.04 * step) for step in range(10))  # as shares of the image
CAR, CAR_SIZE, CAR_FRAMES = (145, 212), (384, 384), 72
OBJECTS = (20, 200)
PAN_STEPS, PANS = 60, 7
TWO_HOURS = 180_000  # frames
LONG_VIDEOS = ("two_hours.mp4", "two_hours.mkv")
STEPS = 20
WAIT_MS = 60_000

# Notes when the server's messages arrive, and when WebGL draws. It runs before the page's own scripts.
RECORDER = """
window.notes = [];
const note = (name) => window.notes.push([name, performance.now()]);
window.WebSocket = class extends WebSocket {
  constructor(...values) {
    super(...values);
    this.addEventListener("message", ({ data }) => {
      if (typeof data === "string") {
        const message = JSON.parse(data);
        if (message.event === "progress") window.notes.push(["progress", performance.now(), message.done]);
        if (message.event === "changes" && message.cells.length) note("cells");
        const keys = Object.keys(message.entries || {});
        if (keys.some((key) => key.startsWith("media/"))) note("media");
        return;
      }
      const length = new DataView(data).getUint32(0, true);
      note(JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))).kind);
    });
  }
  send(data) {
    if (typeof data === "string") note("send " + JSON.parse(data).command);
    super.send(data);
  }
};
for (const name of ["texSubImage2D", "texImage2D", "drawArrays"]) {
  const original = WebGL2RenderingContext.prototype[name];
  WebGL2RenderingContext.prototype[name] = function (...values) {
    const result = original.apply(this, values);
    note(name === "drawArrays" ? "draw" : values.at(-1) instanceof ImageBitmap ? "image" : "texture");
    return result;
  };
}
for (const name of ["pointerup", "pointermove", "keydown", "click"]) {
  addEventListener(name, (event) => window.notes.push([name, event.timeStamp]), true);
}
"""
Note = list[Any]


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure the page and return one row for each quantity."""
    parser = argparse.ArgumentParser(prog="scripts/bench studio_page", description=__doc__)
    parser.add_argument("--repeats", type=int, default=1, help="rounds over the images")
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []

    def add(name: str, values: list[float], unit: str = "ms") -> None:
        high = statistics.quantiles(values, n=10)[-1] if len(values) > 1 else values[0]
        rows.append({"device": "cpu", "name": name, "median": statistics.median(values), "p90": high,
                     "unit": unit, "count": len(values)})  # fmt: skip
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)

    with launch_chromium() as browser, tempfile.TemporaryDirectory() as folder:
        for name, values in _measure_images(browser, Path(folder), options.repeats).items():
            add(name, values)
        for name, values in _measure_video(browser, Path(folder)).items():
            add(name, values, "frames/s" if name == "tracking" else "ms")
        for objects in OBJECTS:
            add(f"pan with {objects} objects", _measure_pan(browser, Path(folder), objects))
        for name, (value, unit) in _measure_long_videos(browser, Path(folder)).items():
            add(name, [value], unit)
    return rows


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("name", "what", "{}"),
        ("median", "median", "{:.2f}"),
        ("p90", "90th percentile", "{:.2f}"),
        ("unit", "unit", "{}"),
        ("count", "measured", "{}"),
    ]


def plot(rows: list[dict[str, Any]]) -> str:
    """Draw the medians in ms, on a logarithmic scale with lines up to the 90th percentile, as SVG."""
    from math import log10

    shown = [row for row in rows if row["unit"] == "ms"]
    height = 30 + 24 * len(shown)

    def place(value: float) -> float:
        return 200 + 100 * max(0.0, log10(max(value, 0.1)) + 1)  # from 0.1 ms

    lines = "".join(
        f'<text x="190" y="{34 + 24 * index}" text-anchor="end">{row["name"]}</text>'
        f'<line x1="{place(row["median"]):.1f}" x2="{place(row["p90"]):.1f}" y1="{30 + 24 * index}"'
        f' y2="{30 + 24 * index}" stroke="#0072b2" stroke-width="3"/>'
        f'<circle cx="{place(row["median"]):.1f}" cy="{30 + 24 * index}" r="5" fill="#0072b2"/>'
        f'<text x="{place(row["p90"]) + 10:.1f}" y="{34 + 24 * index}">{row["median"]:.1f}</text>'
        for index, row in enumerate(shown)
    )
    grid = "".join(
        f'<line x1="{place(value):.0f}" x2="{place(value):.0f}" y1="16" y2="{height}" stroke="#ddd"/>'
        f'<text x="{place(value):.0f}" y="12" text-anchor="middle">{value:g} ms</text>'
        for value in (0.1, 1, 10, 100, 1000, 10_000)
    )
    font = 'font-family="sans-serif" font-size="12"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 {height}" {font}>'
        f'<rect width="780" height="{height}" fill="white"/>{grid}{lines}</svg>'
    )


class _Recording:
    """What the recorder notes while something is done on the page."""

    def __init__(self, window: StudioPage) -> None:
        self._page = window.page

    def clear(self) -> None:
        self._page.evaluate("() => { window.notes.length = 0 }")

    def wait(self, *names: str) -> list[Note]:
        """Return the notes once the names are among them, in this order."""
        end = time.monotonic() + WAIT_MS / 1000
        while time.monotonic() < end:
            notes: list[Note] = self._page.evaluate("window.notes")
            if _find(notes, *names) is not None:
                return notes
            self._page.wait_for_timeout(20)
        raise TimeoutError(f"{names} did not happen; the last notes are {notes[-20:]}")


def _find(notes: list[Note], *names: str) -> list[float] | None:
    """Return the times of the names, each the first after that of the one before, or None."""
    times: list[float] = []
    remaining = iter(notes)
    for name in names:
        found = next((note for note in remaining if note[0] == name), None)
        if found is None:
            return None
        times.append(found[1])
    return times


def _measure(recording: _Recording, act: Callable[[], object], *names: str) -> list[float]:
    """Return the times of the names after an action."""
    recording.clear()
    act()
    times = _find(recording.wait(*names), *names)
    assert times
    return times


@contextmanager
def _open(browser: Any, project: Path, *paths: Path) -> Iterator[tuple[StudioProcess, StudioPage, _Recording]]:
    """Start a studio, and open its page with the recorder."""
    with StudioProcess(project, paths) as studio, open_window(browser, studio, script=RECORDER) as window:
        yield studio, window, _Recording(window)


def _measure_images(browser: Any, folder: Path, repeats: int) -> dict[str, list[float]]:
    names = ("click", "click, server", "second click", "second click, server", "preview", "preview, server")
    times: dict[str, list[float]] = {name: [] for name in names}
    with _open(browser, folder / "images", *(EXAMPLES / name for name in IMAGES)) as (_, window, recording):
        for name, size in [*IMAGES.items()] * repeats:
            window.open(name)
            window.click(size[0] / 2, size[1] / 2, size)  # waits for the embedding
            expect(window.mask()).to_contain_text("prompted, score")
            window.press("Control+z")
            expect(window.objects()).to_have_count(0)
            for x, y in PLACES:
                _measure_place(window, recording, (x * size[0], y * size[1]), size, times)
    return times


def _measure_place(
    window: StudioPage,
    recording: _Recording,
    place: tuple[float, float],
    size: tuple[int, int],
    times: dict[str, list[float]],
) -> None:
    x, y = window.position(*place, size)

    def move() -> None:
        window.page.mouse.move(x, y)

    event, sent, arrived, drawn = _measure(recording, move, "pointermove", "send hover", "preview", "draw")
    times["preview"].append(drawn - event)
    times["preview, server"].append(arrived - sent)
    for name, offset in (("click", 0), ("second click", 40)):

        def click(offset: int = offset) -> None:
            window.page.mouse.click(x + offset, y)

        steps = ("pointerup", "send predict", "cells", "masks", "draw")
        event, sent, _, arrived, drawn = _measure(recording, click, *steps)
        times[name].append(drawn - event)
        times[f"{name}, server"].append(arrived - sent)
    window.press("Delete")
    expect(window.objects()).to_have_count(0)


def _measure_video(browser: Any, folder: Path) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"frame step": [], "tracking": []}
    with _open(browser, folder / "video", EXAMPLES / "car.mp4") as (_, window, recording):
        for _ in range(STEPS):
            event, drawn = _measure(recording, lambda: window.press("ArrowRight"), "keydown", "image", "draw")[::2]
            times["frame step"].append(drawn - event)
        window.press("Home")
        window.click(*CAR, CAR_SIZE)
        expect(window.mask()).to_contain_text("prompted, score")
        recording.clear()
        window.press("t")
        progress = window.page.get_by_role("progressbar", name="Tracking")
        expect(progress).to_be_visible()
        expect(progress).to_be_hidden(timeout=10 * WAIT_MS)
        done = [note for note in window.page.evaluate("window.notes") if note[0] == "progress" and note[2]]
        times["tracking"].append(1000 * (done[-1][2] - done[0][2]) / (done[-1][1] - done[0][1]))
    return times


def _measure_pan(browser: Any, folder: Path, objects: int) -> list[float]:
    """Return the script time for each step of a pan."""
    path = folder / f"objects{objects}"
    with Project.open(path) as project:
        add_media(project, [EXAMPLES / "coffee.jpg"])
        store = project.masks(1)
        entries: dict[str, Any] = {}
        cells: dict[tuple[int, int, int], Cell] = {}
        for index in range(objects):
            mask = np.zeros((400, 600), bool)
            left, top = 30 * (index % 20), 40 * (index // 20)
            mask[top + 2 : top + 38, left + 2 : left + 28] = True
            fields = {"name": "", "class": None, "color": "#e6194b", "hidden": False, "locked": False, "attributes": {}}
            entries[f"object/1/{index + 1}"] = fields
            cells[1, index + 1, 0] = Cell(store.add(mask), 1.0, "edit", False)
        project.act("import", entries, cells)
    with _open(browser, path) as (_, window, _recording):
        expect(window.objects()).to_have_count(objects)
        _pan(browser, window)  # the first time is not counted
        return [_sum_scripts(_pan(browser, window)) for _ in range(PANS)]


def _pan(browser: Any, window: StudioPage) -> list[dict[str, Any]]:
    """Drag with the middle button, and return the events of the trace."""
    x, y = window.position(300, 200, (600, 400))
    window.page.mouse.move(x, y)
    window.page.mouse.down(button="middle")
    browser.start_tracing(page=window.page, categories=["devtools.timeline"])
    for step in range(PAN_STEPS):
        window.page.mouse.move(x + 2 * step, y + step)
    trace: dict[str, Any] = json.loads(browser.stop_tracing())
    window.page.mouse.up(button="middle")
    window.press("0")
    return list(trace["traceEvents"])


def _sum_scripts(events: list[dict[str, Any]]) -> float:
    """Return the mean script time of a step, in ms of the processor: calls from outside, with those that they make."""
    calls = [event for event in events if event.get("name") == "FunctionCall" and event.get("ph") == "X"]
    total, end = 0.0, 0.0
    for call in sorted(calls, key=lambda event: event["ts"]):
        if call["ts"] >= end:
            total += call.get("tdur", call["dur"]) / 1000
            end = call["ts"] + call["dur"]
    return total / PAN_STEPS


def _measure_long_videos(browser: Any, folder: Path) -> dict[str, tuple[float, str]]:
    """Measure videos of two hours: MP4, whose tables list the frames, and Matroska, whose packets are all read."""
    videos, values = folder / "videos", {}
    videos.mkdir()
    for name in LONG_VIDEOS:
        _write_long_video(folder / name)
    with _open(browser, folder / "long", videos, EXAMPLES / "cat.jpg") as (studio, window, recording):
        for name in LONG_VIDEOS:
            (folder / name).rename(videos / name)
            added = _measure(
                recording, window.button("Look for new files in the opened folders").click, "click", "media"
            )
            opened = _measure(recording, functools.partial(window.open, name), "click", "image", "draw")
            middle = _measure(recording, lambda: _jump(window, TWO_HOURS // 2), "keydown", "image", "draw")
            values[f"{name}, added"] = (added[-1] - added[0], "ms")
            values[f"{name}, opened"] = (opened[-1] - opened[0], "ms")
            values[f"{name}, jump to the middle"] = (middle[-1] - middle[0], "ms")
        status = Path(f"/proc/{studio.pid}/status").read_text().splitlines()
        memory = {
            line.split(":")[0]: int(line.split()[1]) / 1e3 for line in status if line.startswith(("VmRSS", "VmHWM"))
        }
    return values | {
        "two hours, memory of the server": (memory["VmRSS"], "MB"),
        "two hours, peak memory of the server": (memory["VmHWM"], "MB"),
    }


def _jump(window: StudioPage, frame: int) -> None:
    number = window.page.get_by_label("Frame", exact=True)
    number.fill(str(frame))
    number.press("Enter")


def _write_long_video(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        image = np.zeros((48, 64, 3), np.uint8)
        for frame in range(TWO_HOURS):
            image[:] = frame % 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())

"""Predictions per second of `masklet serve` for one client that clicks on a ready embedding, and for 8 at a time.

Each client has an image of its own, and sends its next click by the WebSocket when it has the masks of the last one.
The server runs in a process of its own, without a zoom, and returns RLE. `together` is the mean number of predictions
that were decoded in one call, `CPU` the processor time of the server for one prediction. `model only` compares 8 calls
of the decoder for 8 images with one call, without a server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from websockets.asyncio.client import connect

import masklet
from benchmarks.machine import ROOT, measure_median_seconds
from benchmarks.plots import draw_bars
from masklet.predict.batch_prediction import PredictionRequest, predict_batch

IMAGES = ("cat.jpg", "coffee.jpg", "fish.jpg", "rocket.jpg")
CLIENTS = 8
TIMEOUT_S = 120
WARM_UP_CLICKS = 5


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure each runtime and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench serve", description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runtimes", nargs="+", default=["onnx", "torch"])
    parser.add_argument("--clicks", type=int, default=100, help="Clicks of each client.")
    options = parser.parse_args(arguments)
    rows = []
    for runtime in options.runtimes:
        row: dict[str, Any] = {"device": options.device, "model": options.model, "runtime": runtime}
        with _serve(options.model, options.device, runtime) as (port, process):
            for count, name in ((1, "one"), (CLIENTS, "eight")):
                row |= {f"{name}_{key}": value for key, value in _measure(port, process, count, options.clicks).items()}
        row["ratio"] = row["eight_rate"] / row["one_rate"]
        rows.append(row | _measure_model(options.model, options.device, runtime))
    return rows


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("model", "model", "{}"),
        ("runtime", "runtime", "{}"),
        ("one_rate", "1 client, per s", "{:.0f}"),
        ("eight_rate", "8 clients, per s", "{:.0f}"),
        ("ratio", "ratio", "{:.2f}"),
        ("eight_together", "together", "{:.1f}"),
        ("one_cpu_ms", "CPU of 1, ms", "{:.1f}"),
        ("eight_cpu_ms", "CPU of 8, ms", "{:.1f}"),
        ("model_ratio", "model only, ratio", "{:.2f}"),
    ]


def plot(rows: list[dict[str, Any]]) -> str:
    """Draw the predictions per second of one client and of eight as SVG."""
    bars = {}
    for row in rows:
        bars[f"{row['runtime']}, 1 client"] = row["one_rate"]
        bars[f"{row['runtime']}, {CLIENTS} clients"] = row["eight_rate"]
    return draw_bars(bars, "Predictions per second", max(bars.values()))


@contextmanager
def _serve(model: str, device: str, runtime: str) -> Iterator[tuple[int, psutil.Process]]:
    """Run the server, and yield its port and its process."""
    code = (
        "import sys, json, masklet; from masklet.serve.server import ApiServer\n"
        f"server = ApiServer(lambda: masklet.load({model!r}, device={device!r}, runtime={runtime!r}, zoom=0))\n"
        "server.wait_until_ready(); print(server.port, flush=True); sys.stdin.read(); server.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        yield int(process.stdout.readline()), psutil.Process(process.pid)
        process.stdin.close()
        process.wait(TIMEOUT_S)


def _measure(port: int, process: psutil.Process, clients: int, clicks: int) -> dict[str, float]:
    """Let clients click, and return the rate, the mean batch, and the CPU time of a prediction."""
    before, cpu = _read_batches(port), sum(process.cpu_times()[:2])
    seconds = asyncio.run(_click_all(port, clients, clicks))
    after = _read_batches(port)
    total = clients * clicks
    return {
        "rate": total / seconds,
        "together": (after[0] - before[0]) / (after[1] - before[1]),
        "cpu_ms": 1e3 * (sum(process.cpu_times()[:2]) - cpu) / (total + clients * WARM_UP_CLICKS),
    }


async def _click_all(port: int, clients: int, clicks: int) -> float:
    """Return the seconds in which all clients get the masks of all their clicks."""
    ready, start = [asyncio.Event() for _ in range(clients)], asyncio.Event()
    tasks = [asyncio.create_task(_click(port, number, clicks, ready[number], start)) for number in range(clients)]
    for event in ready:
        await event.wait()
    begin = time.perf_counter()
    start.set()
    await asyncio.gather(*tasks)
    return time.perf_counter() - begin


async def _click(port: int, number: int, clicks: int, ready: asyncio.Event, start: asyncio.Event) -> None:
    async with connect(f"ws://127.0.0.1:{port}/v1/ws", compression=None, max_size=None, proxy=None) as socket:
        content = (ROOT / "examples" / IMAGES[number % len(IMAGES)]).read_bytes()
        await socket.send(content + bytes([number]))  # a byte after the end makes it an image of its own
        image = json.loads(await asyncio.wait_for(socket.recv(), TIMEOUT_S))
        for turn in range(WARM_UP_CLICKS + clicks):
            if turn == WARM_UP_CLICKS:
                ready.set()
                await start.wait()
            x, y = (0.2 + 0.6 * (turn % 10) / 10) * image["width"], 0.5 * image["height"]
            request = {"id": turn, "op": "predict", "image": image["image"], "objects": [{"points": [[x, y]]}]}
            await socket.send(json.dumps(request))
            reply = json.loads(await asyncio.wait_for(socket.recv(), TIMEOUT_S))
            assert reply.get("masks"), reply


def _read_batches(port: int) -> tuple[float, float]:
    """Return the numbers of predictions and of batches so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        lines = dict(line.rsplit(" ", 1) for line in response.read().decode().splitlines() if line[0] != "#")
    return float(lines["masklet_batch_size_sum"]), float(lines["masklet_batch_size_count"])


def _measure_model(name: str, device: str, runtime: str) -> dict[str, float]:
    """Return how much sooner one call decodes a click on each of 8 images than 8 calls do."""
    model = masklet.load(name, device=device, runtime=runtime, zoom=0)
    images = [masklet.read_image(ROOT / "examples" / IMAGES[number % len(IMAGES)]) for number in range(CLIENTS)]
    requests = [
        PredictionRequest(one, {1: masklet.click(one.size[1] / 2, one.size[0] / 2)})
        for one in model.embed(images, warn=False)
    ]
    times = [
        measure_median_seconds(work, 20, device)
        for work in (
            lambda: [predict_batch(model.backend, [one]) for one in requests],
            lambda: predict_batch(model.backend, requests),
        )
    ]
    return {"model_alone_ms": 1e3 * times[0], "model_together_ms": 1e3 * times[1], "model_ratio": times[0] / times[1]}

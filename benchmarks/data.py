"""Throughput of the synthetic data engine with the assets of a pack, which must exceed that of training.

On the CPU the rate is per second of processor time of one thread, so two cores give twice as many. Batches are timed
on the device in wall time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.machine import measure_seconds
from masklet.synthetic.engine.asset_bank import AssetBank, load_bank
from masklet.synthetic.engine.batch_compose import BatchComposer
from masklet.synthetic.engine.clips import ClipComposer
from masklet.synthetic.engine.compose import ImageComposer
from masklet.synthetic.engine.tensor_bank import build_tensor_bank
from masklet.synthetic.pack import open_pack
from masklet.synthetic.rendering.render_cache import load_meshes
from masklet.synthetic.rendering.renderer import render, sample_view

FRAMES = 8
BATCH = {"cpu": 8, "cuda": 128}


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure each kind of composition and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench data", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    pack = open_pack(options.pack)
    bank, models = load_bank(pack), load_meshes(pack)
    images, clips = ImageComposer(bank, options.size, 1), ClipComposer(bank, models, options.size, FRAMES, 1)
    views = [sample_view(np.random.default_rng(number)) for number in range(97)]

    def render_model(number: int) -> object:
        return render(models[number * 7919 % len(models)], views[number % 97], 192)

    works = {
        f"images of {options.size} px, a core": images.sample,
        f"clips of {FRAMES} frames of {options.size} px, a core": clips.sample,
        "renderings of 192 px, a core": render_model,
    }
    rows = [
        {"device": options.device, "what": what, "rate": _measure_rate(work, options.seconds)}
        for what, work in works.items()
    ]
    return [*rows, _measure_batches(bank, options.size, options.device, options.seconds)]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [("what", "what", "{}"), ("rate", "per second", "{:.1f}")]


def _measure_rate(work: Callable[[int], object], budget: float) -> float:
    """Measure calls per second of processor time, to exclude other programs on the machine."""
    work(0)
    start, count = time.process_time(), 0
    while time.process_time() - start < budget:
        count += 1
        work(count)
    return count / (time.process_time() - start)


def _measure_batches(bank: AssetBank, size: int, device: str, budget: float) -> dict[str, Any]:
    batch = BATCH[device.split(":")[0]]
    composer = BatchComposer(build_tensor_bank(bank).to(torch.device(device)), size, batch, seed=1)
    composer.sample(0)
    times: list[float] = []
    while sum(times) < budget:
        number = len(times) + 1
        times.append(measure_seconds(lambda number=number: composer.sample(number), device))
    what = f"images of {size} px in batches of {batch} on {device}"
    return {"device": device, "what": what, "rate": batch * len(times) / sum(times)}

"""How fast the data engine composes, from a pack given with --pack: training must not wait for data.

On the CPU one thread works, and its processor time counts, not the wall's: two cores give twice as many. Batches are
timed on the device by the wall.
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

from benchmarks.machine import seconds
from masklet.synthetic.engine.asset_bank import Bank, load_bank
from masklet.synthetic.engine.batch_compose import BatchComposer
from masklet.synthetic.engine.clips import ClipComposer
from masklet.synthetic.engine.compose import Composer
from masklet.synthetic.engine.tensor_bank import tensor_bank
from masklet.synthetic.packs.pack import open_pack
from masklet.synthetic.rendering.render_cache import load_models
from masklet.synthetic.rendering.renderer import random_view, render

FRAMES = 8
BATCH = {"cpu": 8, "cuda": 128}


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every way of composing; a row each."""
    parser = argparse.ArgumentParser(prog="scripts/bench data", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    pack = open_pack(asked.pack)
    bank, models = load_bank(pack), load_models(pack)
    pictures, clips = Composer(bank, asked.size, 1), ClipComposer(bank, models, asked.size, FRAMES, 1)
    views = [random_view(np.random.default_rng(number)) for number in range(97)]

    def rendering(number: int) -> object:
        return render(models[number * 7919 % len(models)], views[number % 97], 192)

    works = {
        f"pictures of {asked.size} px, a core": pictures.sample,
        f"clips of {FRAMES} frames of {asked.size} px, a core": clips.sample,
        "renderings of 192 px, a core": rendering,
    }
    rows = [{"device": asked.device, "what": what, "rate": _rate(work, asked.seconds)} for what, work in works.items()]
    return [*rows, _batches(bank, asked.size, asked.device, asked.seconds)]


def columns() -> list[tuple[str, str, str]]:
    """(key, heading, format) of the table."""
    return [("what", "what", "{}"), ("rate", "a second", "{:.1f}")]


def _rate(work: Callable[[int], object], budget: float) -> float:
    """Calls a second of processor time, so that busy neighbours on the machine do not count."""
    work(0)
    start, done = time.process_time(), 0
    while time.process_time() - start < budget:
        done += 1
        work(done)
    return done / (time.process_time() - start)


def _batches(bank: Bank, size: int, device: str, budget: float) -> dict[str, Any]:
    batch = BATCH[device.split(":")[0]]
    composer = BatchComposer(tensor_bank(bank).to(torch.device(device)), size, batch, seed=1)
    composer.sample(0)
    times: list[float] = []
    while sum(times) < budget:
        number = len(times) + 1
        times.append(seconds(lambda number=number: composer.sample(number), device))
    what = f"pictures of {size} px in batches of {batch} on {device}"
    return {"device": device, "what": what, "rate": batch * len(times) / sum(times)}

"""What a picture costs: import, load, encode, decode and memory, each model and size in a process of its own.

Encoding is measured against the machine's own matrix products, the two in turn, so that the ratio holds when the
machine's speed drifts: 1.0 would mean that nothing but multiply-adds costs time.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

GMAC = {("tiny", 1024): 146.2, ("large", 1024): 911.4, ("tiny", 512): 31.4, ("large", 512): 217.0}
"""Multiply-adds of the reference implementation's encoder, in thousand millions, counted from the architecture."""
RUNS = 5


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every model and size asked for; a row each."""
    parser = argparse.ArgumentParser(prog="scripts/bench image", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--models", default="tiny,large")
    parser.add_argument("--sizes", default="1024,512")
    asked = parser.parse_args(arguments)
    return [
        _in_own_process(name, int(size), asked.device, asked.dtype)
        for name in asked.models.split(",")
        for size in asked.sizes.split(",")
    ]


def columns() -> list[tuple[str, str, str]]:
    """(key, heading, format) of the table."""
    return [
        ("model", "model", "{}"),
        ("size", "size", "{}"),
        ("import_s", "import torch + masklet, s", "{:.2f}"),
        ("load_s", "load, s", "{:.2f}"),
        ("encode_ms", "encode, ms", "{:.0f}"),
        ("gemm_gmacs", "GEMM, GMAC/s", "{:.0f}"),
        ("ratio", "encode ÷ its multiply-adds", "{:.2f}"),
        ("decode_ms", "decode one click, ms", "{:.1f}"),
        ("decode_16_ms", "decode 16 boxes, ms", "{:.0f}"),
        ("peak_mb", "peak memory, MB", "{:.0f}"),
    ]


def _in_own_process(name: str, size: int, device: str, dtype: str) -> dict[str, Any]:
    from benchmarks.checkpoints import checkpoint

    path = checkpoint(f"sam2.1-{name}")
    code = f"from benchmarks.image import measure; measure({name!r}, {size}, {device!r}, {dtype!r}, {str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def measure(name: str, size: int, device: str, dtype: str, path: str) -> None:
    """Measure one model at one size in this process and print a row as JSON."""
    start = time.perf_counter()
    import numpy as np
    import torch

    import masklet
    from benchmarks.machine import gemm, median_seconds, rate, seconds
    from masklet.backends.torch import DTYPES

    imported = time.perf_counter() - start
    start = time.perf_counter()
    model = masklet.load(path, device=device, dtype=dtype, input_size=size)
    loaded = time.perf_counter() - start
    image = np.random.RandomState(0).randint(0, 256, (size, size, 3), np.uint8)
    multiply = gemm(device, DTYPES[dtype])

    def encode() -> object:
        return model.backend.encode([image])

    pairs = [(seconds(multiply, device), seconds(encode, device)) for _ in range(RUNS + 1)][1:]
    picture = model.embed(image)
    boxes = [masklet.box(k, k, k + size // 2, k + size // 2) for k in range(16)]
    encoding = statistics.median(e for _, e in pairs)
    work = GMAC[name, size] * 1e9
    row = {
        "model": name,
        "size": size,
        "device": device,
        "dtype": dtype,
        "import_s": imported,
        "load_s": loaded,
        "encode_ms": 1e3 * encoding,
        "gemm_gmacs": rate(statistics.median(g for g, _ in pairs)) / 1e9,
        "ratio": statistics.median(e * rate(g) / work for g, e in pairs),
        "decode_ms": 1e3 * median_seconds(lambda: picture.predict(masklet.click(9, 9)), 9, device),
        "decode_16_ms": 1e3 * median_seconds(lambda: picture.predict(boxes), 3, device),
        "peak_mb": torch.cuda.max_memory_allocated() / 1e6
        if device.startswith("cuda")
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }
    print(json.dumps(row))

"""Time and memory of segmenting an image: import, load, encode, decode, with one process per model and input size.

Encoding and matrix products are measured in turn, so that their ratio does not depend on drifts of the machine's
speed. A ratio of 1.0 would mean that only multiply-adds take time.
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
"""Multiply-adds of the reference implementation's image encoder in 10⁹, counted from the architecture."""
RUNS = 5


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every requested model and input size and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench image", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--models", default="tiny,large")
    parser.add_argument("--sizes", default="1024,512")
    options = parser.parse_args(arguments)
    return [
        _measure_in_subprocess(name, int(size), options.device, options.dtype)
        for name in options.models.split(",")
        for size in options.sizes.split(",")
    ]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
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


def _measure_in_subprocess(name: str, size: int, device: str, dtype: str) -> dict[str, Any]:
    from benchmarks.checkpoints import make_checkpoint

    path = make_checkpoint(f"sam2.1-{name}")
    code = f"from benchmarks.image import measure; measure({name!r}, {size}, {device!r}, {dtype!r}, {str(path)!r})"
    process = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(process.stdout)
    return row


def measure(name: str, size: int, device: str, dtype: str, path: str) -> None:
    """Measure one model at one input size in this process and print a row as JSON."""
    start = time.perf_counter()
    import numpy as np
    import torch

    import masklet
    from benchmarks.machine import compute_rate, make_gemm, measure_median_seconds, measure_seconds
    from masklet.backends.torch_device import DTYPES

    import_s = time.perf_counter() - start
    start = time.perf_counter()
    model = masklet.load(path, device=device, dtype=dtype, input_size=size)
    load_s = time.perf_counter() - start
    image = np.random.RandomState(0).randint(0, 256, (size, size, 3), np.uint8)
    multiply = make_gemm(device, DTYPES[dtype])

    def encode() -> object:
        return model.backend.encode([image])

    pairs = [(measure_seconds(multiply, device), measure_seconds(encode, device)) for _ in range(RUNS + 1)][1:]
    embedded = model.embed(image)
    boxes = [masklet.box(k, k, k + size // 2, k + size // 2) for k in range(16)]
    encoding = statistics.median(e for _, e in pairs)
    work = GMAC[name, size] * 1e9
    row = {
        "model": name,
        "size": size,
        "device": device,
        "dtype": dtype,
        "import_s": import_s,
        "load_s": load_s,
        "encode_ms": 1e3 * encoding,
        "gemm_gmacs": compute_rate(statistics.median(g for g, _ in pairs)) / 1e9,
        "ratio": statistics.median(e * compute_rate(g) / work for g, e in pairs),
        "decode_ms": 1e3 * measure_median_seconds(lambda: embedded.predict(masklet.click(9, 9)), 9, device),
        "decode_16_ms": 1e3 * measure_median_seconds(lambda: embedded.predict(boxes), 3, device),
        "peak_mb": torch.cuda.max_memory_allocated() / 1e6
        if device.startswith("cuda")
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }
    print(json.dumps(row))

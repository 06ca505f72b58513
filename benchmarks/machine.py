"""Where a figure was measured, and how fast this machine multiplies matrices."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
GEMM_SIDE = 2048


def description(device: str) -> dict[str, Any]:
    """Everything that a figure needs beside it."""
    return {
        "date": date.today().isoformat(),
        "commit": _commit(),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else _processor(),
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
    }


def median_seconds(work: Callable[[], object], runs: int, device: str) -> float:
    """The median wall time of `runs` calls after one that does not count."""
    return statistics.median(seconds(work, device) for _ in range(runs + 1))


def seconds(work: Callable[[], object], device: str) -> float:
    """The wall time of one call, the device's queue emptied before and after."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def gemm(device: str, dtype: torch.dtype) -> Callable[[], object]:
    """A square matrix product of `GEMM_SIDE`: the yardstick."""
    a, b = (torch.randn(GEMM_SIDE, GEMM_SIDE, device=device, dtype=dtype) for _ in range(2))
    return lambda: a @ b


def rate(gemm_seconds: float) -> float:
    """Multiply-adds a second of the yardstick."""
    return GEMM_SIDE**3 / gemm_seconds


def peak_mb() -> float:
    """The most memory that this program has held, in MB. What a process inherits from the one that started it, which
    `getrusage` counts, is left out where the system tells."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    return f"{named.get('model name', 'CPU')} family {named.get('cpu family')} × {os.cpu_count()} cores"


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"

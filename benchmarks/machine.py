"""Description of this machine, timers, and its speed of matrix products."""

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


def describe_machine(device: str) -> dict[str, Any]:
    """Describe date, commit, device, load and versions of a measurement."""
    return {
        "date": date.today().isoformat(),
        "commit": _describe_commit(),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else _read_processor_name(),
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
    }


def measure_median_seconds(work: Callable[[], object], runs: int, device: str) -> float:
    """Measure the median wall time of `runs` + 1 calls in seconds."""
    return statistics.median(measure_seconds(work, device) for _ in range(runs + 1))


def measure_seconds(work: Callable[[], object], device: str) -> float:
    """Measure the wall time of one call in seconds, with the device synchronized before and after."""
    _synchronize(device)
    start = time.perf_counter()
    work()
    _synchronize(device)
    return time.perf_counter() - start


def make_gemm(device: str, dtype: torch.dtype) -> Callable[[], object]:
    """Return a function that multiplies two square matrices of side `GEMM_SIDE`."""
    a, b = (torch.randn(GEMM_SIDE, GEMM_SIDE, device=device, dtype=dtype) for _ in range(2))
    return lambda: a @ b


def compute_rate(gemm_seconds: float) -> float:
    """Compute multiply-adds per second from the time of one `make_gemm` product."""
    return GEMM_SIDE**3 / gemm_seconds


def measure_peak_mb() -> float:
    """Measure the peak memory of this program in MB.

    On Linux, memory inherited from the parent process, which `getrusage` includes, is left out.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _read_processor_name() -> str:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    return f"{named.get('model name', 'CPU')} family {named.get('cpu family')} × {os.cpu_count()} cores"


def _describe_commit() -> str:
    process = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return process.stdout.strip() or "unknown"

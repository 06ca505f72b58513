"""Provenance of a report: command, code version, weights and machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import masklet
from masklet.backend import Backend
from masklet.memory.recent_memory import RECENT_MEMORY
from masklet.segmenter import Segmenter


def collect_run_facts() -> dict[str, str]:
    """Collect command, code version, machine and time of the current run."""
    program = Path(sys.argv[0])
    return {
        "command": shlex.join([program.parent.name if program.stem == "__main__" else program.name, *sys.argv[1:]]),
        "code": _describe_code(),
        "machine": _describe_machine(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def collect_model_facts(model: Segmenter, name: str) -> dict[str, str]:
    """Collect name, input size, hash of the weights and backend of a model.

    Args:
        model: The model.
        name: The name by which the model was loaded.
    """
    backend = model.backend
    view = f", {model.view}" if model.view.has_regions else ""
    memory = "" if model.memory == RECENT_MEMORY else f", memory {model.memory}"
    return {
        "model": f"{name} ({model.config.name}, {model.input_size} × {model.input_size} pixels{view}{memory})",
        "weights": backend.identity,
        "run on": _describe_runtime(backend),
    }


def _describe_runtime(backend: Backend) -> str:
    """Describe a backend by its class, device and dtype, and by the name of the GPU."""
    device = str(getattr(backend, "device", ""))
    parts = [type(backend).__name__, device, str(getattr(backend, "dtype", "")).removeprefix("torch.")]
    gpu = _run_program("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") if device.startswith("cuda") else ""
    return ", ".join(part for part in (*parts, gpu.replace("\n", " + ")) if part)


def _describe_code() -> str:
    """Describe the version of masklet, with the commit if it runs from a git checkout."""
    commit = _run_git("rev-parse", "HEAD")
    if not commit:
        return f"masklet {masklet.__version__}"
    changed = " with changes" if _run_git("status", "--porcelain", "--untracked-files=no") else ""
    return f"masklet {masklet.__version__}, commit {commit[:12]}{changed}"


def _describe_machine() -> str:
    """Describe processor, usable cores, operating system and Python version."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{_read_processor_name()}, {cores} cores, {system}"


def _read_processor_name() -> str:
    """Read the model name of the processor from the operating system."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _run_git(*words: str) -> str:
    """Run git in the folder of this package and return its output; empty outside a checkout."""
    return _run_program("git", "-C", str(Path(masklet.__file__).parent), *words)


def _run_program(*command: str) -> str:
    """Run a program and return its output; empty if it is missing or fails."""
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""

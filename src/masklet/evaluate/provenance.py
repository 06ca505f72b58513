"""Where did these numbers come from? The command, the code, the weights and the machine, for the head of a report."""

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
from masklet.segmenter import Segmenter


def collect_run_facts() -> dict[str, str]:
    """What is to be said of any run: command, code, machine and time."""
    program = Path(sys.argv[0])
    return {
        "command": shlex.join([program.parent.name if program.stem == "__main__" else program.name, *sys.argv[1:]]),
        "code": describe_code(),
        "machine": describe_machine(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def collect_model_facts(model: Segmenter, name: str) -> dict[str, str]:
    """What is to be said of a model: how it was asked for, what it is, its weights' hash, and how it was run."""
    backend = model.backend
    zoom = f", zoom {model.zoom:g}" if model.zoom else ""
    return {
        "model": f"{name} ({model.config.name}, {model.input_size} × {model.input_size} pixels{zoom})",
        "weights": backend.identity,
        "run on": describe_runtime(backend),
    }


def describe_runtime(backend: Backend) -> str:
    """The backend with its device and number format, as far as it has them."""
    device = str(getattr(backend, "device", ""))
    parts = [type(backend).__name__, device, str(getattr(backend, "dtype", "")).removeprefix("torch.")]
    gpu = _run_program("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") if device.startswith("cuda") else ""
    return ", ".join(part for part in (*parts, gpu.replace("\n", " + ")) if part)


def describe_code() -> str:
    """The version of masklet, and the commit where it runs from a checkout."""
    commit = _run_git("rev-parse", "HEAD")
    if not commit:
        return f"masklet {masklet.__version__}"
    changed = " with changes" if _run_git("status", "--porcelain", "--untracked-files=no") else ""
    return f"masklet {masklet.__version__}, commit {commit[:12]}{changed}"


def describe_machine() -> str:
    """The processor, how many of its cores may be used, the system and Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{read_processor_name()}, {cores} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def read_processor_name() -> str:
    """The processor's name as its maker writes it, where the system tells."""
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        names = [
            line.partition(":")[2].strip() for line in listed.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _run_git(*words: str) -> str:
    """What git says about the checkout that this code runs from; nothing where there is none."""
    return _run_program("git", "-C", str(Path(masklet.__file__).parent), *words)


def _run_program(*command: str) -> str:
    """What a program prints; nothing where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

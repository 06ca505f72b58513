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


def run_facts() -> dict[str, str]:
    """What is to be said of any run: command, code, machine and time."""
    program = Path(sys.argv[0])
    return {
        "command": shlex.join([program.parent.name if program.stem == "__main__" else program.name, *sys.argv[1:]]),
        "code": code(),
        "machine": machine(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def model_facts(model: Segmenter, name: str) -> dict[str, str]:
    """What is to be said of a model: how it was asked for, what it is, its weights' hash, and how it was run."""
    backend = model.backend
    zoom = f", zoom {model.zoom:g}" if model.zoom else ""
    return {
        "model": f"{name} ({model.config.name}, {model.size} × {model.size} pixels{zoom})",
        "weights": backend.identity,
        "run on": runtime(backend),
    }


def runtime(backend: Backend) -> str:
    """The backend with its device and number format, as far as it has them."""
    device = str(getattr(backend, "device", ""))
    parts = [type(backend).__name__, device, str(getattr(backend, "dtype", "")).removeprefix("torch.")]
    gpu = _said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") if device.startswith("cuda") else ""
    return ", ".join(part for part in (*parts, gpu.replace("\n", " + ")) if part)


def code() -> str:
    """The version of masklet, and the commit where it runs from a checkout."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return f"masklet {masklet.__version__}"
    changed = " with changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return f"masklet {masklet.__version__}, commit {commit[:12]}{changed}"


def machine() -> str:
    """The processor, how many of its cores may be used, the system and Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{processor()}, {cores} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def processor() -> str:
    """The processor's name as its maker writes it, where the system tells."""
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        names = [
            line.partition(":")[2].strip() for line in listed.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _git(*words: str) -> str:
    """What git says about the checkout that this code runs from; nothing where there is none."""
    return _said("git", "-C", str(Path(masklet.__file__).parent), *words)


def _said(*command: str) -> str:
    """What a program prints; nothing where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

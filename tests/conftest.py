"""Shared fixtures: the `--slow` option, checkpoints with weights by formula, and the shared material."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.recorded import load_relative_shapes, load_shapes

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--slow`."""
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_configure() -> None:
    """Handle SIGINT also where pytest was started in the background, and SIGHUP with `nohup`, which ignore them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests without `--slow`."""
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):  # the keywords also have the names of folders
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material beside the checkout. Tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("no shared material beside this checkout")
    return SHARED


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a backend without a network, and do not wait for the disk."""
    from support.track_runs import use_fake_backend

    use_fake_backend(monkeypatch)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def gray_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands use `GrayWorld` instead of a network, and skip fsync."""
    from masklet.cli import options
    from masklet.segmenter import Segmenter
    from support.gray_world import GrayWorld

    monkeypatch.setattr(options.ModelOptions, "load", lambda self, **options: Segmenter(GrayWorld()))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """`checkpoint("sam2.1-micro", seed)`: a released-format .pt file with weights by formula."""
    torch = pytest.importorskip("torch")
    from parity.inputs import weights

    made: dict[tuple[str, int], Path] = {}
    shapes = load_shapes() | load_relative_shapes()

    def make(name: str, seed: int = 1) -> Path:
        if (name, seed) not in made:
            path = tmp_path_factory.mktemp("checkpoints") / f"{name}_{seed}.pt"
            tensors: dict[str, Any] = {
                k: torch.from_numpy(np.asarray(v)) for k, v in weights(shapes[name], seed).items()
            }
            torch.save({"model": tensors}, path)
            made[name, seed] = path
        return made[name, seed]

    return make

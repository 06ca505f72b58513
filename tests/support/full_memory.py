"""Model calls that run out of memory: calls of PyTorch's networks, or runs of onnxruntime's graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from masklet.backends.onnx.session import Session, errors

Fails = Callable[[int, int], bool]


class FullMemory:
    """Lets model calls fail as the runtimes do when memory is full.

    Attributes:
        fails: Takes the number of a call and its number of objects or images, and returns whether it fails.
        calls: Number of calls so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
        self.calls = 0
        self.fails: Fails = lambda call, batch: False
        if runtime == "onnx":
            monkeypatch.setattr(Session, "_run", self._failing_graph(Session._run))
            return
        from masklet.model.sam2 import Sam2

        for name, argument in {"encode": 0, "attend": 1, "decode": 1, "memorize": 1}.items():
            monkeypatch.setattr(Sam2, name, self._failing_network(getattr(Sam2, name), argument))

    def _failing_network(self, working: Callable[..., Any], argument: int) -> Callable[..., Any]:
        import torch

        kinds = (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 2147483648 bytes"),
            MemoryError("Unable to allocate 2.00 GiB"),
        )

        def call(model: Any, *arguments: Any, **more: Any) -> Any:
            self._enter(len(arguments[argument]), kinds)
            return working(model, *arguments, **more)

        return call

    def _failing_graph(self, working: Callable[..., Any]) -> Callable[..., Any]:
        kinds = (
            errors.RuntimeException("Failed to allocate memory for requested buffer of size 2147483648"),
            RuntimeError("std::bad_alloc"),
            MemoryError("std::bad_alloc"),
        )

        def run(session: Session, graph: Any, inputs: Any) -> Any:
            sizes = [(value.shape if callable(getattr(value, "tolist", None)) else value.shape())[0]
                     for value in inputs.values()]  # fmt: skip
            self._enter(max(sizes), kinds)
            return working(session, graph, inputs)

        return run

    def _enter(self, batch: int, kinds: tuple[Exception, ...]) -> None:
        self.calls += 1
        if self.fails(self.calls, batch):
            raise kinds[self.calls % len(kinds)].with_traceback(None)

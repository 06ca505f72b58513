"""Forked processes: PyTorch's worker threads exist only in the process that started them.

A fork copies the memory of a process but only one of its threads. In the child, OpenMP, which PyTorch uses on CPUs,
waits for the other threads for ever. With one thread, PyTorch works there.
"""

from __future__ import annotations

import os

import torch

from masklet.errors import StateError

_HINT = (
    'start processes with multiprocessing.get_context("spawn") and load the model in them, or call '
    'torch.set_num_threads(1) in the forked process; models with runtime="onnx" work in forked processes'
)


class ForkGuard:
    """Notes that PyTorch was used, and refuses its use in processes that are forked afterwards."""

    def __init__(self) -> None:
        self._is_used = self._is_forked = False
        if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
            os.register_at_fork(after_in_child=self._note_fork)

    def check(self) -> None:
        """Note that PyTorch is used.

        Raises:
            StateError: `forked-process`. A parent process has used it, and it has several threads.
        """
        if self._is_forked and torch.get_num_threads() > 1:
            message = "PyTorch was used before this process was forked, and would wait for threads that do not exist"
            raise StateError("forked-process", message, hint=_HINT)
        self._is_used = True

    def _note_fork(self) -> None:
        self._is_forked = self._is_used


FORK_GUARD = ForkGuard()

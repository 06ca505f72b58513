"""Distributed training on several devices: each process takes some rows of every batch, and gradients are summed.

`torchrun` starts the processes. In a single process all functions return their input, or do nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from masklet.backends.torch_device import select_device


@contextmanager
def join_processes(device: str | None = None) -> Iterator[torch.device]:
    """Join the processes that `torchrun` started, if it did, and yield the device of this process.

    Args:
        device: A device of PyTorch. By default the GPU of this process, or the CPU.

    Raises:
        ResourceError: The device does not exist.
    """
    if "RANK" not in os.environ:
        yield select_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        return
    selected = select_device(device or (f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"))
    if selected.type == "cuda":
        torch.cuda.set_device(selected)
    dist.init_process_group("nccl" if selected.type == "cuda" else "gloo")
    try:
        yield selected
    finally:
        dist.destroy_process_group()


def is_main_process() -> bool:
    """Return whether this process writes files and reports progress."""
    return not dist.is_initialized() or dist.get_rank() == 0


def select_rows(count: int) -> range:
    """Return the rows of a batch of `count` that belong to this process."""
    if not dist.is_initialized():
        return range(count)
    rank, world = dist.get_rank(), dist.get_world_size()
    return range(rank * count // world, (rank + 1) * count // world)


def broadcast(value: float, device: torch.device) -> float:
    """Return the main process's value on every process."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return shared.item()


@torch.no_grad()
def all_reduce_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace all gradients by their sum over the processes, in one message. A missing gradient counts as zero."""
    if not dist.is_initialized():
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for parameter, part in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
        parameter.grad = part.view_as(parameter)

"""One run on several devices: each process takes its rows of every batch, and gradients are added up.

Started by `torchrun`; without it there is one process and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from masklet.backends.torch import device_named


@contextmanager
def together(device: str | None = None) -> Iterator[torch.device]:
    """Join the processes that `torchrun` started, if it did; gives this process's device.

    `device` is any of PyTorch's; by default this process's GPU, or the CPU. Raises `ResourceError` where it is not.
    """
    if "RANK" not in os.environ:
        yield device_named(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        return
    own = device_named(device or (f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"))
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield own
    finally:
        dist.destroy_process_group()


def leads() -> bool:
    """Whether this process is the one that writes and tells."""
    return not dist.is_initialized() or dist.get_rank() == 0


def own_rows(count: int) -> range:
    """The rows of a batch of `count` that are this process's."""
    if not dist.is_initialized():
        return range(count)
    rank, world = dist.get_rank(), dist.get_world_size()
    return range(rank * count // world, (rank + 1) * count // world)


def agreed(value: float, device: torch.device) -> float:
    """The leading process's number, for all."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return shared.item()


@torch.no_grad()
def add_gradients(parameters: Iterable[Tensor]) -> None:
    """Every process gets the sum of all gradients, in one message; a gradient that a process lacks counts as zero."""
    if not dist.is_initialized():
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for parameter, part in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
        parameter.grad = part.view_as(parameter)

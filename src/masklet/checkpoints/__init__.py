"""Weights in, weights out: checkpoint files as named numpy arrays, checked, without PyTorch and without unpickling."""

from masklet.checkpoints.reader import Checkpoint, read_checkpoint, read_tensors
from masklet.checkpoints.writer import write_released, write_tensors

__all__ = ["Checkpoint", "read_checkpoint", "read_tensors", "write_released", "write_tensors"]

"""Checkpoint files as named numpy arrays: validated reading and writing without PyTorch or unpickling."""

from masklet.checkpoints.reader import Checkpoint, read_checkpoint, read_tensors
from masklet.checkpoints.writer import write_released, write_tensors

__all__ = ["Checkpoint", "read_checkpoint", "read_tensors", "write_released", "write_tensors"]

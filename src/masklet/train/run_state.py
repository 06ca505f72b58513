"""State file of a run: one safetensors file with weights, averages, optimizer states and progress.

The names of its tensors are those of masklet 0.1: `modules.model.NAME`, `modules.grouping.NAME` (the head of the
embedding loss), `average.NAME` and `optimiser.PARAMETER.NAME`. The metadata has the progress as JSON and a checksum of
the content, which files of masklet 0.1 lack.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from masklet.checkpoints import write_tensors
from masklet.checkpoints.checksum import CHECKSUM_KEY, compute_checksum
from masklet.errors import CheckpointError, InputNotFound
from masklet.files.names import replace_surrogates
from masklet.files.open_input import open_input
from masklet.model.sam2 import Sam2
from masklet.train.ema import ExponentialMovingAverage
from masklet.train.lora import fold_weights
from masklet.train.optimizer import OptimizerGroup

STATE_FILE, WEIGHTS_FILE = "state.safetensors", "weights.safetensors"
_MODULES, _AVERAGE, _OPTIMIZER = "modules.", "average.", "optimiser."


@dataclass(frozen=True, slots=True)
class Progress:
    """Steps and training time of a run so far, over all its sessions."""

    step: int = 0
    seconds: float = 0.0


def save_state(
    path: Path, modules: nn.ModuleDict, ema: ExponentialMovingAverage, optimizers: OptimizerGroup, at: Progress
) -> None:
    """Write the state of a run, and replace the file atomically."""
    tensors = {f"{_MODULES}{name}": value for name, value in modules.state_dict().items()}
    tensors |= {f"{_AVERAGE}{name}": value for name, value in ema.weights.items()}
    for parameter, state in optimizers.states.items():
        tensors |= {f"{_OPTIMIZER}{parameter}.{name}": value for name, value in state.items()}
    metadata = {"masklet": json.dumps(asdict(at))}
    arrays = {name: value.detach().cpu().numpy() for name, value in tensors.items()}
    write_tensors(path, arrays, metadata, with_checksum=True)


def load_state(
    path: Path, modules: nn.ModuleDict, ema: ExponentialMovingAverage, optimizers: OptimizerGroup
) -> Progress:
    """Load a state file into modules, averages and optimizers of the same settings.

    Raises:
        InputNotFound: There is no such file.
        CheckpointError: The file is damaged, or other parameters or optimizers were trained.
    """
    if not path.is_file():
        message = f"{path}: no run to resume; start one without --resume"
        raise InputNotFound("input-not-found", message, path=str(path))
    try:
        with open_input(path) as opened:
            # PyTorch takes only names in UTF-8; other names exist on systems that have /dev/fd
            name = str(path) if str(path) == replace_surrogates(str(path)) else f"/dev/fd/{opened.fileno()}"
            tensors = load_file(name)
            with safe_open(name, "pt") as file:
                metadata: dict[str, str] = file.metadata()
        at = _read_progress(metadata["masklet"])
        _check_checksum(metadata, tensors)
    except InputNotFound:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as cause:
        message = f"{path}: not a valid state file of a run: {cause!s:.200}"
        raise CheckpointError("checkpoint-corrupt", message, path=str(path)) from cause
    averages, states = _strip_prefix(tensors, _AVERAGE), _group_by_parameter(_strip_prefix(tensors, _OPTIMIZER))
    parameters = _strip_prefix(tensors, _MODULES)
    if not (
        _are_alike(parameters, modules.state_dict())
        and _are_alike(averages, ema.weights)
        and optimizers.matches(states)
    ):
        raise CheckpointError(
            "checkpoint-mismatch",
            f"{path}: other parameters or optimizers were trained; resume with the settings of its settings.toml",
        )
    modules.load_state_dict(parameters)
    for name, value in ema.weights.items():
        value.copy_(averages[name])
    optimizers.load_states(states)
    return at


def _read_progress(text: str) -> Progress:
    """Read the progress in a state file. Raises `ValueError` and others if it is none."""
    at = Progress(**json.loads(text))
    if type(at.step) is not int or at.step < 0 or not (math.isfinite(at.seconds) and at.seconds >= 0):
        raise ValueError(f"{text:.80} is no progress of a run")
    return at


def _check_checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    expected = metadata.get(CHECKSUM_KEY)
    if expected and expected != compute_checksum(metadata, ((name, value.numpy()) for name, value in tensors.items())):
        raise ValueError("the checksum is wrong")


def _are_alike(tensors: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    """Return whether tensors have the same names, shapes and dtypes."""
    shapes, expected = (
        {name: (value.shape, value.dtype) for name, value in part.items()} for part in (tensors, others)
    )
    return shapes == expected


def save_weights(path: Path, model: Sam2, *, half: bool = False) -> None:
    """Write the model's weights for `masklet.load`, in float32, or in float16 with `half`."""
    dtype = torch.float16 if half else torch.float32
    weights = {name: value.to("cpu", dtype).numpy() for name, value in fold_weights(model).items()}
    write_tensors(path, weights, {"format": "pt", "config": model.config.name})


def _strip_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _group_by_parameter(tensors: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {}
    for name, value in tensors.items():
        parameter, _, key = name.rpartition(".")
        states.setdefault(parameter, {})[key] = value
    return states

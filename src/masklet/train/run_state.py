"""State file of a run: one safetensors file with weights, averages, optimizer states and progress.

The names of its tensors are those of masklet 0.1: `modules.model.NAME`, `modules.grouping.NAME` (the head of the
embedding loss), `average.NAME` and `optimiser.PARAMETER.NAME`. The metadata has the progress as JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from masklet.checkpoints import write_tensors
from masklet.errors import CheckpointError, InputNotFound
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
    write_tensors(path, {name: value.detach().cpu().numpy() for name, value in tensors.items()}, metadata)


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
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            at = Progress(**json.loads(file.metadata()["masklet"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as cause:
        message = f"{path}: not a valid state file of a run: {cause}"
        raise CheckpointError("checkpoint-corrupt", message, path=str(path)) from cause
    averages, states = _strip_prefix(tensors, _AVERAGE), _group_by_parameter(_strip_prefix(tensors, _OPTIMIZER))
    if averages.keys() != ema.weights.keys() or not optimizers.matches(states):
        raise CheckpointError(
            "checkpoint-mismatch",
            f"{path}: other parameters or optimizers were trained; resume with the settings of its settings.toml",
        )
    modules.load_state_dict(_strip_prefix(tensors, _MODULES))
    for name, value in ema.weights.items():
        value.copy_(averages[name])
    optimizers.load_states(states)
    return at


def save_weights(path: Path, model: Sam2, *, half: bool = False) -> None:
    """Write the model's weights for `masklet.load`, in float32, or in float16 with `half`."""
    dtype = torch.float16 if half else torch.float32
    write_tensors(path, {name: value.to("cpu", dtype).numpy() for name, value in fold_weights(model).items()})


def _strip_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _group_by_parameter(tensors: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {}
    for name, value in tensors.items():
        parameter, _, key = name.rpartition(".")
        states.setdefault(parameter, {})[key] = value
    return states

"""A run on disk: one safetensors file with weights, average, optimiser and a line of JSON, replaced whole."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from masklet.errors import CheckpointError, InputNotFound
from masklet.files.atomic import atomic_write
from masklet.model.sam2 import Sam2
from masklet.train.lora import folded
from masklet.train.optimizer import Average, Movers

STATE, WEIGHTS = "state.safetensors", "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    step: int = 0
    seconds: float = 0.0  # of training, over all stretches


def save_state(path: Path, modules: nn.ModuleDict, average: Average, movers: Movers, at: Progress) -> None:
    """Write everything that a run needs to go on as if it had not stopped."""
    tensors = {f"modules.{name}": value for name, value in modules.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.weights.items()}
    for parameter, state in movers.states.items():
        tensors |= {f"optimiser.{parameter}.{name}": value for name, value in state.items()}
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, _metadata(at))
    with atomic_write(path) as file:
        file.write(content)


def load_state(path: Path, modules: nn.ModuleDict, average: Average, movers: Movers) -> Progress:
    """The inverse of `save_state`, into modules, an average and movers of the same settings."""
    if not path.is_file():
        raise InputNotFound(
            "input-not-found", f"{path}: no run to resume here; start one without --resume", path=str(path)
        )
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            at = Progress(**json.loads(file.metadata()["masklet"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as cause:
        raise CheckpointError(
            "checkpoint-corrupt", f"{path}: not the state of a run: {cause}", path=str(path)
        ) from cause
    averaged, moments = _under(tensors, "average."), _moments(_under(tensors, "optimiser."))
    if averaged.keys() != average.weights.keys() or not movers.fits(moments):
        raise CheckpointError(
            "checkpoint-mismatch",
            f"{path}: other weights were trained there, or otherwise; resume with the settings of its settings.toml",
        )
    modules.load_state_dict(_under(tensors, "modules."))
    for name, value in average.weights.items():
        value.copy_(averaged[name])
    movers.restore(moments)
    return at


def save_weights(path: Path, model: Sam2, *, half: bool = False) -> None:
    """The model's weights alone, with our names, for `masklet.load`; `half` stores float16."""
    kind = torch.float16 if half else torch.float32
    content = save({name: value.to("cpu", kind).contiguous() for name, value in folded(model).items()})
    with atomic_write(path) as file:
        file.write(content)


def _metadata(at: Progress) -> dict[str, str]:
    return {"masklet": json.dumps(asdict(at))}


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _moments(tensors: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {}
    for name, value in tensors.items():
        parameter, _, key = name.rpartition(".")
        states.setdefault(parameter, {})[key] = value
    return states

"""LoRA: low-rank updates of weights as PEFT and loralib store them, merged into the weights of a base checkpoint."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.checkpoints.key_names import Layout, detect_layout, rename_key
from masklet.checkpoints.weight_folder import ADAPTER_CONFIG, read_json_object
from masklet.errors import CheckpointError

Arrays = Mapping[str, NDArray[Any]]
_LAYOUTS: tuple[Layout, ...] = ("released", "transformers", "masklet")
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.(?!weight$|bias$)(?P<adapter>[^.]+))?(?:\.weight)?")
_MODULE_NAME = re.compile(r"[\w.]+")
_MERGE_HINT = "merge it with PEFT's merge_and_unload(), and save the result"


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """The content of `adapter_config.json` that merging needs.

    Attributes:
        base: The name or the path of the base checkpoint; empty if the file does not say.
        alpha: The scale of an update is this number divided by its rank.
        alphas: Alphas of single modules by the end of their names.
        is_rank_stabilized: The scale is alpha divided by the square root of the rank.
    """

    base: str
    alpha: float
    alphas: Mapping[str, float] = field(default_factory=dict)
    is_rank_stabilized: bool = False

    def scale_of(self, module: str, rank: int) -> float:
        """Return the factor of the update of a module."""
        alphas = (alpha for end, alpha in self.alphas.items() if f".{module}".endswith(f".{end}"))
        return next(alphas, self.alpha) / (math.sqrt(rank) if self.is_rank_stabilized else rank)


class _Update(NamedTuple):
    """The factors of an update."""

    down: NDArray[Any]  # A, whose first axis is the rank
    up: NDArray[Any]  # B, whose second axis is the rank


def has_updates(names: Mapping[str, object]) -> bool:
    """Return whether a state dict has LoRA updates."""
    return any(".lora_" in name for name in names)


def has_base(tensors: Arrays) -> bool:
    """Return whether a state dict with updates also has the weights that they change."""
    modules = {match["module"] for name in tensors if (match := _FACTOR.fullmatch(name))}
    return any(f"{module}{suffix}" in tensors for module in modules for suffix in (".base_layer.weight", ".weight"))


def read_lora_config(path: Path) -> LoraConfig:
    """Read the `adapter_config.json` in a folder, or beside a file.

    Raises:
        InputNotFound: There is none.
        CheckpointError: `checkpoint-corrupt`, or `checkpoint-mismatch` for another kind of adapter than LoRA.
    """
    file = (path if path.is_dir() else path.parent) / ADAPTER_CONFIG
    if not file.is_file():
        message = f"{path}: it has LoRA updates, whose scale is in {ADAPTER_CONFIG}, which is not beside it"
        raise CheckpointError("checkpoint-mismatch", message, hint=f"put {ADAPTER_CONFIG} beside it, or {_MERGE_HINT}")
    content = read_json_object(file)
    kind, alpha, alphas = (content.get(key) for key in ("peft_type", "lora_alpha", "alpha_pattern"))
    if kind != "LORA" or content.get("use_dora") or content.get("fan_in_fan_out"):
        what = "DoRA" if content.get("use_dora") else "fan_in_fan_out" if kind == "LORA" else repr(kind)
        message = f"{file}: the adapter is of the kind {what}; only LoRA is merged"
        raise CheckpointError("checkpoint-mismatch", message, hint=_MERGE_HINT)
    alphas = alphas if isinstance(alphas, dict) else {}
    if not all(map(_is_number, (alpha, *alphas.values()))):
        raise CheckpointError("checkpoint-corrupt", f"{file}: lora_alpha must be a number, got {alpha!r}")
    if not all(map(_MODULE_NAME.fullmatch, alphas)):  # regular expressions of a file can take exponential time
        message = f"{file}: alpha_pattern must have names of modules, not regular expressions"
        raise CheckpointError("checkpoint-mismatch", message, hint=_MERGE_HINT)
    base = content.get("base_model_name_or_path")
    return LoraConfig(
        base if isinstance(base, str) else "", float(content["lora_alpha"]), alphas, bool(content.get("use_rslora"))
    )


def merge_adapter(path: Path, adapter: Arrays, base: Arrays, config: LoraConfig) -> dict[str, NDArray[Any]]:
    """Add the updates of an adapter to the weights of its base, whose names may be in another layout.

    Args:
        path: The adapter, for error messages.
        adapter: The tensors of the adapter. Those that are no updates replace the base's.
        base: The tensors of the base checkpoint.
        config: The adapter's configuration.

    Raises:
        CheckpointError: `checkpoint-mismatch`. The base lacks a tensor, or it has another shape.
    """
    layout = detect_layout(base)
    updates, others = _split(path, adapter)
    merged = dict(base)
    for name, value in others.items():
        target = _find_target(path, name, base, layout)
        if merged[target].shape != value.shape:
            raise _make_error(path, f"{name} has the shape {value.shape}, in the base {merged[target].shape}")
        merged[target] = value
    for module, update in updates.items():
        target = _find_target(path, f"{module}.weight", base, layout)
        merged[target] = _add(path, module, merged[target], update, config)
    return merged


def merge_full(path: Path, tensors: Arrays, config: LoraConfig) -> dict[str, NDArray[Any]]:
    """Add updates to the weights beside them, which PEFT calls `base_layer.weight`.

    Raises:
        CheckpointError: `checkpoint-mismatch`. A weight is missing, or has another shape.
    """
    updates, base = _split(path, tensors)
    for module, update in updates.items():
        if f"{module}.weight" not in base:
            raise _make_error(path, f"it has updates of {module}, and no weight of it")
        base[f"{module}.weight"] = _add(path, module, base[f"{module}.weight"], update, config)
    return base


def _split(path: Path, tensors: Arrays) -> tuple[dict[str, _Update], dict[str, NDArray[Any]]]:
    """Split a state dict into the updates by module and the other tensors, without copies that PEFT does not use."""
    factors: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
    others = {}
    for name, value in tensors.items():
        if match := _FACTOR.fullmatch(name):
            factors.setdefault((match["module"], match["adapter"] or ""), {})[match["side"]] = value
        elif ".lora_" in name:
            raise _make_error(path, f"{name} belongs to a kind of LoRA that is not merged", _MERGE_HINT)
        elif ".original_module." not in name:
            others[name.replace(".base_layer.", ".")] = value
    updates = {}
    for (module, adapter), sides in factors.items():
        if module in updates:
            raise _make_error(path, f"it has several adapters, such as {adapter!r}", _MERGE_HINT)
        if len(sides) < 2:
            raise _make_error(path, f"{module} lacks lora_A or lora_B")
        updates[module] = _Update(sides["A"], sides["B"])
    adapters = {adapter for _, adapter in factors} | {"default"}
    return updates, {_rename_saved(name, adapters): value for name, value in others.items()}


def _rename_saved(name: str, adapters: set[str]) -> str:
    """Return the name of a tensor of a module that PEFT trained completely, as in the network without PEFT."""
    module, _, rest = name.partition(".modules_to_save.")
    adapter, _, inner = rest.partition(".")
    return f"{module}.{inner if adapter in adapters else rest}" if rest else name


def _find_target(path: Path, name: str, base: Arrays, layout: Layout) -> str:
    """Return the name in the base of a tensor of the adapter."""
    candidates = (name, *(rename_key(name, source, layout) for source in _LAYOUTS))
    target = next((candidate for candidate in candidates if candidate in base), None)
    if target is None:
        raise _make_error(path, f"it changes {name}, which the base lacks", "give another base")
    return target


def _add(path: Path, module: str, weight: NDArray[Any], update: _Update, config: LoraConfig) -> NDArray[Any]:
    """Add an update to a weight. A convolution's kernel is a matrix of output channels by everything else."""
    down, up = update
    rank = down.shape[0] if down.ndim else 0
    is_fitting = rank and up.ndim > 1 and weight.ndim > 1 and up.size == weight.shape[0] * rank
    if not is_fitting or down.size * weight.shape[0] != rank * weight.size:
        shapes = f"{down.shape} and {up.shape}, and the weight {weight.shape}"
        raise _make_error(
            path, f"the updates of {module} do not fit: they have the shapes {shapes}", "give another base"
        )
    product = up.reshape(-1, rank).astype(np.float32) @ down.reshape(rank, -1).astype(np.float32)
    summed: NDArray[Any] = weight.astype(np.float32) + product.reshape(weight.shape) * np.float32(
        config.scale_of(module, rank)
    )
    return summed.astype(weight.dtype)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _make_error(path: Path, message: str, hint: str = "") -> CheckpointError:
    return CheckpointError("checkpoint-mismatch", f"{path}: {message}", hint=hint, path=str(path))

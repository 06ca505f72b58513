"""Loading of weights for a model whose configuration is given by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import masklet
from masklet.checkpoints import key_names
from masklet.checkpoints.hub import find_or_pull, get_embedded_path
from masklet.checkpoints.variants import name_variant
from masklet.checkpoints.weight_folder import is_weight_folder
from masklet.checkpoints.weights import WeightOptions, Weights, load_weights
from masklet.compat.sam2.array import to_numpy
from masklet.compat.sam2.overrides import ModelSettings
from masklet.config import EMBEDDED_MODEL, ModelConfig
from masklet.errors import CheckpointError, ResourceError, warn
from masklet.segmenter import Segmenter, build_segmenter

DEFAULT_DEVICE = "cuda"  # of the package `sam2`


class StateDictError(CheckpointError, RuntimeError):
    """The weights are not those of the configuration. PyTorch raises `RuntimeError` for it."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and in which numbers a model runs.

    Attributes:
        device: Name of a device, as `masklet.load` takes it. "cuda", the default of the package `sam2`, means the first
            available device, with a warning, where there is no CUDA.
        dtype: Name of a number format, as `masklet.load` takes it.
        runtime: "torch" or "onnx"; by default PyTorch where it is installed.
    """

    device: str | None = DEFAULT_DEVICE
    dtype: str | None = None
    runtime: str | None = None

    @staticmethod
    def of(device: Any, dtype: Any = None, runtime: str | None = None) -> Placement:
        """Make a placement from names, or from a device and a dtype of PyTorch."""
        return Placement(
            None if device is None else str(device), None if dtype is None else str(dtype).split(".")[-1], runtime
        )


def load_checkpoint(path: str | os.PathLike[str], settings: ModelSettings, placement: Placement) -> Segmenter:
    """Load a checkpoint, an exported folder or a model by name.

    Raises:
        StateDictError: The weights are of another configuration.
        MaskletError: See `masklet.load`.
    """
    found = find_or_pull(os.fspath(path))
    if found.is_dir() and not is_weight_folder(found):
        return _load_exported(found, settings, placement)
    return build(load_weights(found, WeightOptions(name_variant(settings.config))), settings, placement)


def find_embedded(settings: ModelSettings) -> Path | None:
    """Return the weights that the package has of a configuration; None if it has none."""
    return get_embedded_path() if settings.config.name == EMBEDDED_MODEL else None


def read_state_dict(state_dict: Mapping[str, Any], settings: ModelSettings) -> Weights:
    """Convert a state dict in memory, with the names of SAM 2, transformers or masklet.

    Raises:
        StateDictError: It fits no configuration.
    """
    tensors = {name: to_numpy(value) for name, value in state_dict.items()}
    try:
        candidates = key_names.list_configs({name: value.shape for name, value in tensors.items()})
        config = next((one for one in candidates if one.name == settings.config.name), candidates[0])
        return Weights(config, key_names.to_masklet(tensors))
    except CheckpointError as error:
        raise _to_state_dict_error(error) from error


def build(weights: Weights, settings: ModelSettings, placement: Placement) -> Segmenter:
    """Build a model from weights that have been read.

    Raises:
        StateDictError: The weights are of another configuration, or not complete.
    """
    _check_config(weights.config, settings)

    def place(device: str | None) -> Segmenter:
        return build_segmenter(
            weights,
            device=device,
            dtype=placement.dtype,
            input_size=settings.image_size,
            zoom=0,
            runtime=placement.runtime,
        )

    try:
        return _with_device(placement, place)
    except CheckpointError as error:
        if error.code != "checkpoint-mismatch":
            raise
        raise _to_state_dict_error(error) from error


def _load_exported(folder: Path, settings: ModelSettings, placement: Placement) -> Segmenter:
    def place(device: str | None) -> Segmenter:
        return masklet.load(folder, device=device, dtype=placement.dtype, input_size=settings.image_size, zoom=0)

    segmenter = _with_device(replace(placement, runtime="onnx"), place)
    _check_config(segmenter.config, settings)
    return segmenter


def _with_device(placement: Placement, place: Any) -> Segmenter:
    """Place a model on its device, or on the first available one where the default device does not exist."""
    try:
        segmenter: Segmenter = place(placement.device)
    except ResourceError as error:
        if error.code != "device-unavailable" or placement.device != DEFAULT_DEVICE:
            raise
        segmenter = place(None)
        message = f"there is no CUDA here, so the model runs on {segmenter.backend.device}; pass device= to choose one"
        warn("device-unavailable", message)
    return segmenter


def _check_config(found: ModelConfig, settings: ModelSettings) -> None:
    if found.name != settings.config.name:
        message = f"the weights are of {found.name}, but the configuration is {settings.config.name}"
        raise StateDictError("checkpoint-mismatch", message, hint="pass the configuration file of these weights")


def _to_state_dict_error(error: CheckpointError) -> StateDictError:
    return StateDictError(error.code, error.message, hint=error.hint, **error.context)

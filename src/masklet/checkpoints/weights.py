"""Weights of a model by name or path: any checkpoint, adapters merged into their base, with the configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from masklet.checkpoints import key_names
from masklet.checkpoints.hub import find_or_pull, find_release
from masklet.checkpoints.hugging_face import HUB_PREFIX, looks_like_repository
from masklet.checkpoints.lora import has_base, has_updates, merge_adapter, merge_full, read_lora_config
from masklet.checkpoints.reader import Checkpoint, read_checkpoint
from masklet.checkpoints.variants import choose_variant
from masklet.config import ModelConfig
from masklet.errors import MaskletError, SettingsError


@dataclass(frozen=True, slots=True)
class WeightOptions:
    """Options of reading weights.

    Attributes:
        variant: The variant of EfficientTAM: "plain", "1", "2" or "512x512". By default the name of the file decides.
        base: The name or the path of the checkpoint that a LoRA adapter changes. By default the adapter's
            configuration names it.
    """

    variant: str | None = None
    base: str | Path | None = None


DEFAULT_WEIGHT_OPTIONS = WeightOptions()


class Weights(NamedTuple):
    """The weights of a model.

    Attributes:
        config: The configuration.
        tensors: The arrays by masklet's names.
    """

    config: ModelConfig
    tensors: dict[str, NDArray[Any]]


def load_weights(path: Path, options: WeightOptions = DEFAULT_WEIGHT_OPTIONS) -> Weights:
    """Read the weights of a file, or of a folder of transformers or PEFT, and identify their configuration.

    Raises:
        InputNotFound: A file is missing, empty or unreadable.
        CheckpointError: It is no checkpoint, damaged, unsafe, or of another network.
        SettingsError: The variant does not exist, or the base of an adapter is not known.
        ResourceError: The base of an adapter cannot be downloaded.
    """
    checkpoint = read_merged(path, options.base)
    tensors = key_names.to_masklet(checkpoint.tensors)
    return Weights(identify(checkpoint, options.variant), tensors)


def identify(checkpoint: Checkpoint, variant: str | None = None) -> ModelConfig:
    """Identify the configuration of a checkpoint by its tensors, and its variant by the name of the file.

    Raises:
        CheckpointError: `checkpoint-mismatch`. The tensors fit no configuration.
        SettingsError: There is no such variant.
    """
    candidates = key_names.list_configs({name: value.shape for name, value in checkpoint.tensors.items()})
    return choose_variant(candidates, checkpoint.path, variant, checkpoint.metadata.get("config"))


def read_merged(path: Path, base: str | Path | None = None) -> Checkpoint:
    """Read a checkpoint with its LoRA updates merged.

    Args:
        path: The file, or a folder of transformers or PEFT.
        base: The name or the path of the checkpoint that an adapter changes.

    Returns:
        The checkpoint. That of an adapter has the path of its base, whose name tells the variant.

    Raises:
        InputNotFound: A file is missing, empty or unreadable.
        CheckpointError: The checkpoint, the adapter or the base is malformed, or they do not fit.
        SettingsError: `base` is given without need, or the base of an adapter is not known.
        ResourceError: The base cannot be downloaded.
    """
    checkpoint = read_checkpoint(path)
    is_adapter = has_updates(checkpoint.tensors) and not has_base(checkpoint.tensors)
    if base is not None and not is_adapter:
        raise SettingsError("bad-usage", f"{path} is no LoRA adapter; leave out base (--base)")
    if not has_updates(checkpoint.tensors):
        return checkpoint
    config = read_lora_config(path)
    if not is_adapter:
        merged = merge_full(path, checkpoint.tensors, config)
        return replace(checkpoint, tensors=merged, wrapping=(*checkpoint.wrapping, "LoRA"))
    base_path = _find_base(path, base if base is not None else config.base)
    below = read_checkpoint(base_path)
    merged = merge_adapter(path, checkpoint.tensors, below.tensors, config)
    return replace(below, tensors=merged, wrapping=(f"LoRA adapter {path} of", *below.wrapping))


def _find_base(path: Path, base: str | Path) -> Path:
    """Find the checkpoint that an adapter changes: beside the adapter, by name or path, or on the hub."""
    if not str(base):
        message = f"{path} is a LoRA adapter, and its configuration does not name its base"
        raise SettingsError("bad-usage", message, hint="give base (--base), such as sam2.1-tiny")
    beside = (path if path.is_dir() else path.parent) / base
    if beside.exists():
        return beside
    is_repository = isinstance(base, str) and looks_like_repository(base) and not Path(base).exists()
    try:
        return find_or_pull(f"{HUB_PREFIX}{base}" if is_repository and not find_release(str(base)) else base)
    except MaskletError as error:
        error.hint = error.hint or f"give the base of {path} with base (--base)"
        raise

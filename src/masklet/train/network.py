"""Network of a run: new or loaded from a checkpoint, trained completely, partly, or by low-rank updates."""

from __future__ import annotations

from pathlib import Path

import torch

from masklet.checkpoints import key_names, read_tensors
from masklet.checkpoints.hub import find_or_pull
from masklet.checkpoints.weights import read_merged
from masklet.config import CONFIGS, HIERA, LITE_SCALES, REPVIT_SCALES, VIT_SCALES, ModelConfig
from masklet.errors import SettingsError
from masklet.model.repvit import RepVit
from masklet.model.sam2 import Sam2
from masklet.train.drop_path import add_drop_path
from masklet.train.hand_designed_init import init_pretrained_laterals
from masklet.train.initialization import create_model
from masklet.train.lora import LowRank, add_low_rank
from masklet.train.settings import Settings


def build_network(settings: Settings, device: torch.device) -> Sam2:
    """Build the network of the settings, in training mode, with gradients only for trained parameters.

    Raises:
        SettingsError: A prefix in `trainable` fits no parameter, or a setting does not fit the trunk.
        CheckpointError: The initial weights or the initial trunk do not fit the model.
    """
    config = CONFIGS[settings.model]
    _check_trunk(settings, config)
    if settings.initial_weights:
        model = load_network(settings.initial_weights, config)
    else:
        model = create_model(config, settings.seed)
    if settings.initial_trunk:
        _load_trunk(model, Path(settings.initial_trunk))
        if not settings.initial_weights and config.trunk in LITE_SCALES:
            init_pretrained_laterals(model)
    model.to(device)
    if settings.lora_rank:
        add_low_rank(model, settings.lora_rank)
    if settings.drop_path and not isinstance(model.trunk, RepVit):
        add_drop_path(model.trunk, settings.drop_path)
    _require_gradients(model, settings)
    if settings.compile:
        model.trunk.compile()
    return model.train()


def _check_trunk(settings: Settings, config: ModelConfig) -> None:
    """Check the settings that not every trunk has. Raises `SettingsError` (`bad-settings`)."""
    problem = ""
    if settings.lora_rank and config.trunk not in (HIERA, *VIT_SCALES):
        problem = f"lora_rank must be 0 for {config.name}: its trunk {config.trunk} has no attention to update"
    elif settings.drop_path and config.trunk in REPVIT_SCALES:
        problem = f"drop_path must be 0 for {config.name}: the blocks of {config.trunk} contain their residuals"
    elif not settings.initial_weights and config.trunk in (*REPVIT_SCALES, *VIT_SCALES):
        problem = f"initial_weights must name a checkpoint of {config.name}: it is trained from released weights only"
    if problem:
        raise SettingsError("bad-settings", problem)


def load_network(name: str, config: ModelConfig) -> Sam2:
    """Load a network from a checkpoint file or by a model's name."""
    tensors = key_names.to_masklet(read_merged(find_or_pull(name)).tensors)
    model = Sam2(config)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    key_names.check_entries({key: value.shape for key, value in tensors.items()}, expected, config)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()})
    return model


def _load_trunk(model: Sam2, path: Path) -> None:
    """Load the weights of the trunk alone."""
    tensors = read_tensors(path)
    expected = {f"trunk.{key}": tuple(value.shape) for key, value in model.trunk.state_dict().items()}
    key_names.check_entries({key: value.shape for key, value in tensors.items()}, expected, model.config)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()}, strict=False)


def _require_gradients(model: Sam2, settings: Settings) -> None:
    """Require gradients of low-rank updates and of the prefixes in `trainable`; without both, of all parameters."""
    train_all = not settings.trainable and not settings.lora_rank
    updates = {id(p) for module in model.modules() if isinstance(module, LowRank) for p in module.parameters()}
    names = []
    for name, parameter in model.named_parameters():
        listed = bool(settings.trainable) and name.startswith(settings.trainable)
        parameter.requires_grad_(train_all or listed or id(parameter) in updates)
        names.append(name)
    for prefix in settings.trainable:
        if not any(name.startswith(prefix) for name in names):
            modules = ", ".join(dict(model.named_children()))
            message = (
                f"no parameter starts with {prefix!r} of the setting trainable; the network's modules are {modules}"
            )
            raise SettingsError("bad-settings", message)

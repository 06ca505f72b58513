"""The network that a run trains: fresh or started from weights, as a whole, in parts, or through low-rank updates."""

from __future__ import annotations

import torch

from masklet.checkpoints import key_names, read_tensors
from masklet.checkpoints.hub import find_or_pull
from masklet.config import CONFIGS, ModelConfig
from masklet.errors import SettingsError
from masklet.model.sam2 import Sam2
from masklet.train.drop_path import add_drop_path
from masklet.train.initialization import fresh
from masklet.train.lora import LowRank, add_low_rank
from masklet.train.settings import Settings


def network(settings: Settings, device: torch.device) -> Sam2:
    """The network of these settings, in training mode, with gradients only for what is trained.

    Raises `SettingsError` where nothing is, or `CheckpointError` for weights that do not fit.
    """
    config = CONFIGS[settings.model]
    model = started(settings.start, config) if settings.start else fresh(config, settings.seed)
    model.to(device)
    if settings.lora_rank:
        add_low_rank(model, settings.lora_rank)
    if settings.drop_path:
        add_drop_path(model.trunk, settings.drop_path)
    _freeze(model, settings)
    if settings.compile:
        model.trunk.compile()
    return model.train()


def started(name: str, config: ModelConfig) -> Sam2:
    """A network with the weights of a file or of a released name."""
    tensors = key_names.to_masklet(read_tensors(find_or_pull(name)))
    model = Sam2(config)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    key_names.check_entries({key: value.shape for key, value in tensors.items()}, expected, config)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()})
    return model


def _freeze(model: Sam2, settings: Settings) -> None:
    """Leave gradients to the low-rank updates and to the names that begin with one of `settings.trained`; without
    either, to everything."""
    everything = not settings.trained and not settings.lora_rank
    updates = {id(p) for module in model.modules() if isinstance(module, LowRank) for p in module.parameters()}
    for name, parameter in model.named_parameters():
        named = bool(settings.trained) and name.startswith(settings.trained)
        parameter.requires_grad_(everything or named or id(parameter) in updates)
    unknown = [start for start in settings.trained if not any(n.startswith(start) for n, _ in model.named_parameters())]
    if unknown:
        known = ", ".join(dict(model.named_children()))
        raise SettingsError("bad-settings", f"nothing in the network begins with {unknown[0]!r}; it has {known}")

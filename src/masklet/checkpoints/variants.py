"""Variants of EfficientTAM: networks with the same tensors and other arithmetic, told apart by the name of the file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from masklet.config import CONFIGS, ModelConfig
from masklet.errors import SettingsError, warn

_SUFFIXES = {"plain": "", "1": "-1", "2": "-2", "512x512": "-512"}  # of the names of configurations
VARIANTS = tuple(_SUFFIXES)
"""The names of the variants: plain, memories pooled in one way or the other, and an input of 512 × 512 pixels."""

_RELEASED_NAME = re.compile(r"efficienttam[-_](?:s|ti)(?:[-_](1|2|512)(?:x512)?)?(?![a-z0-9])", re.IGNORECASE)
_MEDSAM2_NAME = re.compile(r"medsam2(?![a-z])", re.IGNORECASE)
_MEDSAM2_SIZE = 512  # side of its input; its network is sam2.1-tiny


def list_variants(config: ModelConfig) -> dict[str, ModelConfig]:
    """List the configurations whose tensors equal those of a plain one, by variant, the plain one first."""
    names = {variant: f"{config.name}{suffix}" for variant, suffix in _SUFFIXES.items()}
    return {variant: CONFIGS[name] for variant, name in names.items() if name in CONFIGS}


def choose_variant(
    config: ModelConfig, path: Path, variant: str | None = None, stored_config: str | None = None
) -> ModelConfig:
    """Choose the variant of a checkpoint, which its tensors do not tell.

    Args:
        config: The plain configuration with these tensors.
        path: The file, whose name decides without `variant`. A name that tells nothing means plain, with a warning.
            MedSAM2's files, which have the tensors of sam2.1-tiny, were trained at 512 pixels.
        variant: "plain", "1", "2" or "512x512".
        stored_config: The name of the configuration in the metadata of the file.

    Raises:
        SettingsError: `bad-usage`. There is no such variant.
    """
    variants = list_variants(config)
    if variant is not None and variant not in variants:
        known = f"variant must be {', '.join(variants)}" if len(variants) > 1 else "leave out variant"
        raise SettingsError("bad-usage", f"{config.name} has no variant {variant!r}; {known}")
    if len(variants) <= 1:
        is_medsam2 = config.name == "sam2.1-tiny" and _MEDSAM2_NAME.match(path.name) is not None
        return replace(config, input_size=_MEDSAM2_SIZE) if is_medsam2 else config
    if variant is not None:
        return variants[variant]
    stored = next((known for known in variants.values() if known.name == stored_config), None)
    return stored or _read_name(path, config, variants)


def name_variant(config: ModelConfig) -> str | None:
    """Return the variant of a configuration, or None if its family has no variants."""
    for plain in CONFIGS.values():
        variants = list_variants(plain)
        if len(variants) > 1 and config in variants.values():
            return next(variant for variant, known in variants.items() if known == config)
    return None


def _read_name(path: Path, config: ModelConfig, variants: dict[str, ModelConfig]) -> ModelConfig:
    """Read the variant from the name of a file."""
    match = _RELEASED_NAME.search(path.name)
    found = {"1": "1", "2": "2", "512": "512x512"}.get(match[1] or "", "plain") if match else "plain"
    if found in variants and match and (match[1] or match[0] == path.stem):
        return variants[found]
    message = f"{path} does not tell its variant; it runs as plain {config.name}, and other files give wrong masks"
    warn("variant-unknown", f"{message}; give variant (--variant) {', '.join(variants)}")
    return variants["plain"]

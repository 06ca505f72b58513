"""Variants of EfficientTAM: networks with the same tensors and other arithmetic, which the name of the file tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from masklet.config import VIT_SCALES, ModelConfig
from masklet.errors import SettingsError, warn

_PLAIN, _SMALL = "plain", "512x512"
_RELEASED_NAME = re.compile(r"efficienttam[-_](?:s|ti)(?:[-_](1|2|512)(?:x512)?)?(?![a-z0-9])", re.IGNORECASE)
_SMALL_SIZE = 512  # side of the input of the variant 512x512, and of MedSAM2, whose network is sam2.1-tiny
_MEDSAM2_NAME = re.compile(r"medsam2(?![a-z])", re.IGNORECASE)


def name_variant(config: ModelConfig) -> str | None:
    """Return the variant of a configuration: "plain", "1", "2" or "512x512"; None if its family has no variants."""
    if config.trunk not in VIT_SCALES:
        return None
    if config.memory_pooling:
        return str(config.memory_pooling)
    return _SMALL if config.input_size == _SMALL_SIZE else _PLAIN


def choose_variant(
    candidates: Sequence[ModelConfig], path: Path, variant: str | None = None, stored_config: str | None = None
) -> ModelConfig:
    """Choose the variant of a checkpoint, which its tensors do not tell.

    Args:
        candidates: The configurations with these tensors, the plain one first.
        path: The file, whose name decides without `variant`. A name that tells nothing means plain, with a warning.
            MedSAM2's files, which have the tensors of sam2.1-tiny, were trained at 512 pixels.
        variant: "plain", "1", "2" or "512x512".
        stored_config: The name of the configuration in the metadata of the file.

    Raises:
        SettingsError: `bad-usage`. There is no such variant.
    """
    plain = candidates[0]
    variants = {name_variant(config) or _PLAIN: config for config in candidates}
    if variant is not None and variant not in variants:
        known = f"variant must be {', '.join(variants)}" if len(variants) > 1 else "leave out variant"
        raise SettingsError("bad-usage", f"{plain.name} has no variant {variant!r}; {known}")
    if len(variants) == 1:
        is_medsam2 = plain.name == "sam2.1-tiny" and _MEDSAM2_NAME.match(path.name) is not None
        return replace(plain, input_size=_SMALL_SIZE) if is_medsam2 else plain
    if variant is not None:
        return variants[variant]
    stored = next((config for config in candidates if config.name == stored_config), None)
    return stored or _read_name(path, variants)


def _read_name(path: Path, variants: dict[str, ModelConfig]) -> ModelConfig:
    """Read the variant from the name of a file."""
    match = _RELEASED_NAME.search(path.name)
    found = {"1": "1", "2": "2", "512": _SMALL}.get(match[1] or "", _PLAIN) if match else _PLAIN
    if found in variants and match and (match[1] or match[0] == path.stem):
        return variants[found]
    message = f"{path} does not tell its variant; it runs as plain {variants[_PLAIN].name}, and others give wrong masks"
    warn("variant-unknown", f"{message}; give variant (--variant) {', '.join(variants)}")
    return variants[_PLAIN]

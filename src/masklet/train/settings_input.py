"""Settings from TOML files and `name=value` texts, with the names that masklet 0.1 used."""

from __future__ import annotations

import contextlib
import difflib
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from masklet.errors import InputNotFound, SettingsError
from masklet.train.settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

NAMES_OF_0_1 = {
    "start": "initial_weights",
    "trained": "trainable",
    "sizes": "input_sizes",
    "size_starts": "input_size_starts",
    "easy": "easy_until",
    "pictures": "images_per_batch",
    "objects": "objects_per_image",
    "clips": "clips_per_batch",
    "frames": "frames_per_clip",
    "clip_objects": "objects_per_clip",
    "video": "clip_fraction",
    "stills": "clips_from_images",
    "mask": "clip_mask_prompts",
    "click": "clip_click_prompts",
    "box": "clip_box_prompts",
    "picture_mask": "image_mask_prompts",
    "picture_click": "image_click_prompts",
    "picture_box": "image_box_prompts",
    "clicks": "correction_clicks",
    "centred": "centered_clicks",
    "from_truth": "ground_truth_clicks",
    "again": "zoom_refinement",
    "prompted": "max_prompted_frames",
    "corrected": "max_corrected_frames",
    "focal": "focal_weight",
    "dice": "dice_weight",
    "iou": "iou_weight",
    "occlusion": "object_score_weight",
    "edge": "boundary_weight",
    "drills": "ellipses_per_image",
    "grouping": "embedding_weight",
    "coarse": "low_res_loss",
    "rate": "learning_rate",
    "trunk_rate": "trunk_rate_factor",
    "memory_rate": "memory_rate_factor",
    "last_rate": "final_rate_factor",
    "warmup": "warmup_steps",
    "momentum": "adam_beta2",
    "clip": "max_grad_norm",
    "average": "ema_decay",
    "recompute": "activation_checkpointing",
}
"""Names of settings in masklet 0.1 and their names today. Both are accepted, so that old runs can be resumed."""

_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def change_settings(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Return `settings` with other values, converted to the types of the settings.

    Raises:
        SettingsError: A name is unknown or given twice, or a value has the wrong type or is out of range.
    """
    current = {field.name: getattr(settings, field.name) for field in fields(settings)}
    changes: dict[str, Any] = {}
    for key, value in values.items():
        name = NAMES_OF_0_1.get(key, key)
        if name not in current:
            near = suggest_name(key, current, NAMES_OF_0_1)
            raise SettingsError("bad-settings", f"there is no setting {key!r}{near}", name=key)
        if name in changes:
            message = f"{name} is given twice, as {name!r} and under its old name; remove one of them"
            raise SettingsError("bad-settings", message, name=name)
        changes[name] = _convert(name, current[name], value)
    return replace(settings, **changes)


def read_toml(path: Path) -> dict[str, Any]:
    """Read the values of a TOML file.

    Raises:
        InputNotFound: The file cannot be read.
        SettingsError: The file is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as cause:
        raise InputNotFound("input-not-found", f"{path}: cannot be read: {cause.strerror}", path=str(path)) from cause
    except (ValueError, RecursionError) as cause:
        raise SettingsError("bad-settings", f"{path} is not TOML: {cause}", path=str(path)) from cause


def parse_setting(text: str) -> tuple[str, Any]:
    """Parse `name=value`. The value is TOML; a text needs no quotes, and a list no brackets.

    Raises:
        SettingsError: There is no `=`.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise SettingsError("bad-settings", f"a setting must be name=value, got {text!r}")
    for toml in (value, f"[{value}]"):
        with contextlib.suppress(ValueError, RecursionError):  # also of numbers with thousands of digits
            return name, tomllib.loads(f"value = {toml}")["value"]
    return name, value.split(",") if "," in value else value


def suggest_name(name: str, known: Iterable[str], old: Mapping[str, str] | None = None) -> str:
    """Return `; did you mean …?` with the known name that is most similar to `name`, or an empty text.

    Args:
        name: The unknown name.
        known: The names to suggest.
        old: Old names and the known names to suggest instead.
    """
    old = old or {}
    near = difflib.get_close_matches(name, [*known, *old], n=1)
    return f"; did you mean {old.get(near[0], near[0])!r}?" if near else ""


def _convert(name: str, current: Any, value: Any) -> Any:
    """Convert a value to the type of the current one. Raises `SettingsError`."""
    if isinstance(current, tuple):
        kind = type((current or ("",))[0])
        many = value if isinstance(value, list | tuple) else [value] if value != "" else []
        return tuple(_convert(name, kind(), item) for item in many)
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
        return math.inf if value > 0 else -math.inf
    if type(value) is not type(current):
        raise SettingsError(
            "bad-settings", f"{name} must be {_TYPE_NAMES[type(current)]}, got {value!r}", name=name, value=str(value)
        )
    return value

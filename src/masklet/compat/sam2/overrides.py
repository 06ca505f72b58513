"""Settings of a model by the name of its configuration file, changed by Hydra overrides such as `++model.x=y`.

Hydra is not used. The configuration files of the package `sam2` are known by name, and an override that has no effect
here is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from masklet.backend import MEMORY_SLOTS
from masklet.config import CONFIGS, ModelConfig, check_input_size
from masklet.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Settings of a model, with the names and defaults of the reference's configuration.

    Attributes:
        config: Architecture that the configuration file names.
        image_size: Side of the square, in pixels, that images are resized to.
        num_maskmem: Number of memories that a frame recalls, with that of the prompted frames: 0 to 7.
        fill_hole_area: The largest area of a hole that is filled in masks of videos, in low-resolution pixels.
        non_overlap_masks: Assign each pixel of a video's masks to at most one object.
        clear_non_cond_mem_around_input: Delete the memories of tracked frames around a prompted frame.
        add_all_frames_to_correct_as_cond: A correction on a tracked frame becomes a conditioning frame.
        binarize_mask_from_pts_for_mem_enc: Binarize the masks of prompted frames before they are memorized.
        dynamic_multimask_via_stability: Replace an unstable single mask by the best of the three candidates.
        dynamic_multimask_stability_delta: Logit by which the mask threshold is shifted up and down for the stability.
        dynamic_multimask_stability_thresh: Stability from which on the single mask is used.
    """

    config: ModelConfig
    image_size: int
    num_maskmem: int = MEMORY_SLOTS
    fill_hole_area: int = 0
    non_overlap_masks: bool = False
    clear_non_cond_mem_around_input: bool = False
    add_all_frames_to_correct_as_cond: bool = False
    binarize_mask_from_pts_for_mem_enc: bool = False
    dynamic_multimask_via_stability: bool = False
    dynamic_multimask_stability_delta: float = 0.05
    dynamic_multimask_stability_thresh: float = 0.98

    def __post_init__(self) -> None:
        check_input_size(self.image_size, self.config)
        if not 0 <= self.num_maskmem <= MEMORY_SLOTS:
            raise _error(f"num_maskmem must be from 0 to {MEMORY_SLOTS}, got {self.num_maskmem}")
        if self.fill_hole_area < 0:
            raise _error(f"fill_hole_area must be at least 0, got {self.fill_hole_area}")


DYNAMIC_MULTIMASK = (
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability=true",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta=0.05",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.98",
)
"""Overrides that both builders add with `apply_postprocessing=True`."""

VIDEO_POSTPROCESSING = ("++model.binarize_mask_from_pts_for_mem_enc=true", "++model.fill_hole_area=8")
"""Overrides that the builders of video predictors add with `apply_postprocessing=True`."""


def read_settings(config_file: str, overrides: Sequence[str] = ()) -> ModelSettings:
    """Return the settings of a configuration file with overrides applied in order.

    Args:
        config_file: Name or path of a configuration file of the package `sam2`, in its current or its older form, such
            as `configs/sam2.1/sam2.1_hiera_l.yaml` or `sam2_hiera_l.yaml`; also one of EdgeTAM, EfficientTAM or
            MedSAM2, or the name of a configuration of masklet, such as `nano`. The file itself is not read.
        overrides: Overrides `++model.name=value`.

    Raises:
        SettingsError: `bad-usage`. The configuration or an override is unknown, or a value is invalid. `bad-size`. The
            image size does not fit the network.
    """
    config, image_size = _find_config(config_file)
    values = dict(_parse_override(text) for text in overrides)
    return replace(ModelSettings(config, image_size), **values)


_SIZES = {"t": "tiny", "s": "small", "b+": "base-plus", "l": "large"}
_HIERA = re.compile(r"(sam2(?:\.1)?)_hiera_(t|s|b\+|l)(512)?")
_EFFICIENTTAM = re.compile(r"efficienttam_(s|ti)(?:_(1|2|512)(?:x512)?)?")


def _find_config(config_file: str) -> tuple[ModelConfig, int]:
    """Return the architecture that a configuration file names, and the side of its input in pixels."""
    stem = PurePosixPath(str(config_file).replace("\\", "/")).name
    stem = stem.removesuffix(".yaml").removesuffix(".yml")
    if match := _HIERA.fullmatch(stem):
        config = CONFIGS[f"{match[1]}-{_SIZES[match[2]]}"]
        return config, int(match[3] or config.input_size)
    if match := _EFFICIENTTAM.fullmatch(stem):
        stem = f"efficienttam-{match[1]}" + (f"-{match[2]}" if match[2] else "")
    if stem in CONFIGS:
        return CONFIGS[stem], CONFIGS[stem].input_size
    raise _error(
        f"config_file {config_file!r} is not known; pass the name of a configuration of sam2, such as "
        "configs/sam2.1/sam2.1_hiera_l.yaml, or of masklet, such as nano"
    )


def _parse_bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_DECODER = "sam_mask_decoder_extra_args"
_PARSERS: dict[str, Callable[[str], Any]] = {
    "image_size": int,
    "num_maskmem": int,
    "fill_hole_area": int,
    "non_overlap_masks": _parse_bool,
    "clear_non_cond_mem_around_input": _parse_bool,
    "add_all_frames_to_correct_as_cond": _parse_bool,
    "binarize_mask_from_pts_for_mem_enc": _parse_bool,
    f"{_DECODER}.dynamic_multimask_via_stability": _parse_bool,
    f"{_DECODER}.dynamic_multimask_stability_delta": float,
    f"{_DECODER}.dynamic_multimask_stability_thresh": float,
}
_OVERRIDE = re.compile(r"\+{0,2}model\.([\w.]+)=(.*)")


def _parse_override(text: str) -> tuple[str, Any]:
    """Return the field and the value of an override."""
    match = _OVERRIDE.fullmatch(str(text).strip())
    if match is None or match[1] not in _PARSERS:
        name = match[1] if match else str(text)
        near = difflib.get_close_matches(name, _PARSERS, n=1)
        advice = f"did you mean {near[0]}?" if near else f"these have one: {', '.join(_PARSERS)}"
        raise _error(f"override {text!r} has no effect on masklet; {advice}")
    try:
        value = _PARSERS[match[1]](match[2].strip())
    except (KeyError, ValueError):
        kind = {int: "a whole number", float: "a number"}.get(_PARSERS[match[1]], "true or false")  # type: ignore[call-overload]
        raise _error(f"override {text!r}: the value must be {kind}, got {match[2]!r}") from None
    return match[1].removeprefix(f"{_DECODER}."), value


def _error(message: str) -> SettingsError:
    return SettingsError("bad-usage", message)

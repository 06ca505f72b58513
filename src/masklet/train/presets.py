"""Presets of training settings: SAM 2's recipe, fine-tuning, and the training of the model in the package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from masklet.errors import SettingsError
from masklet.train.settings import Settings
from masklet.train.settings_input import change_settings, parse_setting, read_toml, suggest_name

_NANO = Settings(
    model="nano",
    objects_per_image=10,
    easy_until=0.2,
    image_mask_prompts=0.05,
    image_click_prompts=0.45,
    image_box_prompts=0.5,
    correction_clicks=(0, 2),
    centered_clicks=0.5,
    focal_weight=1.0,
    focal_alpha=-1.0,
    focal_gamma=0.0,  # cross-entropy: an untrained network learns several times faster with it
    low_res_loss=True,
    ellipses_per_image=8,
    embedding_weight=0.3,
    learning_rate=1e-3,
    trunk_rate_factor=0.7,
    neck_rate_factor=0.7,
    final_rate_factor=0.05,
    warmup_steps=100,
    weight_decay=0.05,
    adam_beta2=0.98,
    max_grad_norm=1.0,
)

_LITE = replace(
    _NANO,
    model="lite0",
    easy_until=0.0,
    images_per_batch=8,
    objects_per_image=4,
    image_mask_prompts=0.04,
    image_click_prompts=0.56,
    image_box_prompts=0.4,
    zoom_refinement=0.3,
    boundary_weight=2.0,
    ellipses_per_image=1,
    trunk_rate_factor=0.1,
    neck_rate_factor=1.0,
    layer_decay=0.95,
    muon=True,
)

_MEMORY_STAGE: dict[str, Any] = {  # the memory alone
    "trainable": ("memory_", "pointer_", "slots", "hidden", "no_pointer", "mask_downsample"),
    "objects_per_clip": 4,
    "clips_per_batch": 2,
    "clip_fraction": 1.0,
    "ellipses_per_image": 0,
    "embedding_weight": 0.0,
    "learning_rate": 5e-4,
    "warmup_steps": 20,
    "ema_decay": 0.99,
}

PRESETS: dict[str, Settings] = {
    "pretrain-images": Settings(
        model="sam2.1-tiny",
        images_per_batch=256,
        objects_per_image=64,
        learning_rate=4e-4,
        layer_decay=0.8,
        drop_path=0.1,
        precision="bfloat16",
        compile=True,
        activation_checkpointing=True,
        minutes=0.0,
        steps=90_000,
    ),
    "full": Settings(
        model="sam2.1-tiny",
        images_per_batch=256,
        objects_per_image=64,
        clips_per_batch=256,
        frames_per_clip=(8, 8, 16),
        clip_fraction=0.82,
        trunk_rate_factor=0.2,
        neck_rate_factor=0.2,
        layer_decay=0.8,
        drop_path=0.1,
        warmup_steps=15_000,
        precision="bfloat16",
        compile=True,
        activation_checkpointing=True,
        minutes=0.0,
        steps=300_000,
    ),
    "finetune": Settings(
        model="sam2.1-tiny",
        initial_weights="sam2.1-tiny",
        images_per_batch=8,
        objects_per_image=8,
        clips_per_batch=8,
        clip_fraction=0.5,
        learning_rate=5e-6,
        trunk_rate_factor=0.6,
        neck_rate_factor=0.6,
        layer_decay=0.9,
        drop_path=0.1,
        warmup_steps=100,
        precision="bfloat16",
        activation_checkpointing=True,
        minutes=0.0,
        steps=5_000,
    ),
    "finetune-decoder": Settings(
        model="sam2.1-tiny",
        initial_weights="sam2.1-tiny",
        trainable=("mask_decoder", "prompt_encoder"),
        images_per_batch=2,
        objects_per_image=8,
        correction_clicks=(3, 3),
        learning_rate=1e-4,
        warmup_steps=100,
        precision="bfloat16",
        activation_checkpointing=True,
        minutes=0.0,
        steps=5_000,
    ),
    "lora": Settings(
        model="sam2.1-tiny",
        initial_weights="sam2.1-tiny",
        trainable=("mask_decoder",),
        lora_rank=8,
        images_per_batch=4,
        objects_per_image=8,
        correction_clicks=(3, 3),
        learning_rate=1e-4,
        warmup_steps=100,
        precision="bfloat16",
        activation_checkpointing=True,
        minutes=0.0,
        steps=5_000,
    ),
    "nano-images": replace(_NANO, input_sizes=(128, 192, 256), input_size_starts=(0.0, 0.5, 0.78), minutes=70.0),
    "nano-video": replace(  # image batches too: training on clips alone makes predictions on images worse
        _NANO,
        easy_until=0.0,
        input_sizes=(256,),
        images_per_batch=16,
        objects_per_image=3,  # many images of few objects: a close-up often shows one object
        image_mask_prompts=0.08,
        image_click_prompts=0.5,
        image_box_prompts=0.42,
        zoom_refinement=0.4,
        boundary_weight=3.0,
        ellipses_per_image=1,
        embedding_weight=0.6,
        objects_per_clip=4,
        frames_per_clip=(4,),
        clips_per_batch=4,
        clip_fraction=0.15,
        clips_from_images=0.5,
        muon=True,
        warmup_steps=60,
        minutes=90.0,
    ),
    "nano-follow": replace(  # the memory alone, on longer clips: predictions on images stay unchanged
        _NANO,
        **_MEMORY_STAGE,
        easy_until=0.0,
        input_sizes=(256,),
        frames_per_clip=(8,),
        clips_from_images=0.6,
        minutes=30.0,
    ),
    "lite-start": replace(  # all but the pretrained trunk, whose weights early gradients of a new decoder would damage
        _LITE,
        trainable=("neck", "prompt_encoder", "mask_decoder", "no_memory"),
        easy_until=0.5,
        input_sizes=(256,),
        ellipses_per_image=2,
        minutes=15.0,
    ),
    "lite-images": replace(
        _LITE,
        input_sizes=(256, 384),
        input_size_starts=(0.0, 0.35),
        correction_clicks=(0, 3),
        minutes=240.0,
    ),
    "lite-follow": replace(  # the memory alone, as `nano-follow`
        _LITE,
        **_MEMORY_STAGE,
        input_sizes=(384,),
        frames_per_clip=(4, 8),
        clips_from_images=0.4,
        minutes=60.0,
    ),
    "nano-finetune": replace(
        _NANO,
        initial_weights="nano",
        easy_until=0.0,
        input_sizes=(256,),
        images_per_batch=4,
        ellipses_per_image=0,
        embedding_weight=0.0,
        trunk_rate_factor=0.3,
        neck_rate_factor=0.3,
        learning_rate=2e-4,
        warmup_steps=50,
        minutes=20.0,
        validate_minutes=5.0,
    ),
}
"""Settings by name of the preset. `--set model=…` selects another size of network."""


def resolve_settings(preset: str, file: Path | None = None, changes: Iterable[str] = ()) -> Settings:
    """Return the settings of a preset, changed by a TOML file and then by `name=value` texts.

    Raises:
        SettingsError: The preset, a setting or a value is wrong. An unknown name suggests the most similar one.
        InputNotFound: The file cannot be read.
    """
    if preset not in PRESETS:
        near = suggest_name(preset, PRESETS)
        raise SettingsError("bad-settings", f"there is no preset {preset!r}{near}; presets are {', '.join(PRESETS)}")
    settings = PRESETS[preset] if file is None else change_settings(PRESETS[preset], read_toml(file))
    return change_settings(settings, dict(map(parse_setting, changes)))

"""Starting points of experiments by name: the paper's recipe, fine-tuning, and the embedded model's own training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from masklet.errors import SettingsError
from masklet.train.settings import Settings, changed, nearest, parsed, read_toml

_DEMO = Settings(
    model="nano",
    objects=10,
    easy=0.2,
    picture_mask=0.05,
    picture_click=0.45,
    picture_box=0.5,
    clicks=(0, 2),
    centred=0.5,
    focal=1.0,
    focal_alpha=-1.0,
    focal_gamma=0.0,  # plain cross-entropy: a network that knows nothing yet learns several times quicker
    coarse=True,
    drills=8,
    grouping=0.3,
    rate=1e-3,
    trunk_rate=0.7,
    last_rate=0.05,
    warmup=100,
    weight_decay=0.05,
    momentum=0.98,
    clip=1.0,
)

PRESETS: dict[str, Settings] = {
    "pretrain-images": Settings(
        model="sam2.1-tiny",
        pictures=256,
        objects=64,
        rate=4e-4,
        layer_decay=0.8,
        drop_path=0.1,
        precision="bfloat16",
        compile=True,
        recompute=True,
        minutes=0.0,
        steps=90_000,
    ),
    "full": Settings(
        model="sam2.1-tiny",
        pictures=256,
        objects=64,
        clips=256,
        frames=(8, 8, 16),
        video=0.82,
        trunk_rate=0.2,
        layer_decay=0.8,
        drop_path=0.1,
        warmup=15_000,
        precision="bfloat16",
        compile=True,
        recompute=True,
        minutes=0.0,
        steps=300_000,
    ),
    "finetune": Settings(
        model="sam2.1-tiny",
        start="sam2.1-tiny",
        pictures=8,
        objects=8,
        clips=8,
        video=0.5,
        rate=5e-6,
        trunk_rate=0.6,
        layer_decay=0.9,
        drop_path=0.1,
        warmup=100,
        precision="bfloat16",
        recompute=True,
        minutes=0.0,
        steps=5_000,
    ),
    "finetune-decoder": Settings(
        model="sam2.1-tiny",
        start="sam2.1-tiny",
        trained=("mask_decoder", "prompt_encoder"),
        pictures=2,
        objects=8,
        clicks=(3, 3),
        rate=1e-4,
        warmup=100,
        precision="bfloat16",
        recompute=True,
        minutes=0.0,
        steps=5_000,
    ),
    "lora": Settings(
        model="sam2.1-tiny",
        start="sam2.1-tiny",
        trained=("mask_decoder",),
        lora_rank=8,
        pictures=4,
        objects=8,
        clicks=(3, 3),
        rate=1e-4,
        warmup=100,
        precision="bfloat16",
        recompute=True,
        minutes=0.0,
        steps=5_000,
    ),
    "nano-images": replace(_DEMO, sizes=(128, 192, 256), size_starts=(0.0, 0.5, 0.78), minutes=70.0),
    "nano-video": replace(  # pictures too, and everything is trained: clips alone make answers on pictures worse
        _DEMO,
        easy=0.0,
        sizes=(256,),
        pictures=16,
        objects=3,  # more pictures of fewer objects: what is close up is often alone
        picture_mask=0.08,
        picture_click=0.5,
        picture_box=0.42,
        again=0.4,
        edge=3.0,
        drills=1,
        grouping=0.6,
        clip_objects=4,
        frames=(4,),
        clips=4,
        video=0.15,
        stills=0.5,
        muon=True,
        warmup=60,
        minutes=90.0,
    ),
    "nano-follow": replace(  # the memory alone, in longer clips: answers on pictures stay what they are
        _DEMO,
        trained=("memory_", "pointer_", "slots", "hidden", "no_pointer", "mask_downsample"),
        easy=0.0,
        sizes=(256,),
        clip_objects=4,
        frames=(8,),
        clips=2,
        video=1.0,
        stills=0.6,
        drills=0,
        grouping=0.0,
        rate=5e-4,
        warmup=20,
        average=0.99,
        minutes=30.0,
    ),
    "nano-finetune": replace(
        _DEMO,
        start="nano",
        easy=0.0,
        sizes=(256,),
        pictures=4,
        drills=0,
        grouping=0.0,
        trunk_rate=0.3,
        rate=2e-4,
        warmup=50,
        minutes=20.0,
        validate_minutes=5.0,
    ),
}
"""Starting points by name; the released sizes are chosen with `--set model=…`."""


def resolve(preset: str, file: Path | None = None, changes: Iterable[str] = ()) -> Settings:
    """The settings of a preset, changed by a TOML file and then by `name=value` texts.

    Raises `SettingsError`, which answers an unknown name with the nearest one, or `InputNotFound` for the file.
    """
    if preset not in PRESETS:
        raise SettingsError(
            "bad-settings", f"no preset {preset!r}{nearest(preset, PRESETS)}; there are {', '.join(PRESETS)}"
        )
    settings = PRESETS[preset] if file is None else changed(PRESETS[preset], read_toml(file))
    return changed(settings, dict(map(parsed, changes)))

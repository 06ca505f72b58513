"""Names of the entries that only EdgeTAM and EfficientTAM have, as rows of `key_names.TABLE`.

The names of RepViT are those after `batch_norms.fold_batch_norms`. transformers has no EfficientTAM.
"""

from __future__ import annotations

from collections.abc import Iterator

Row = tuple[str, str, str]


def list_relatives() -> Iterator[Row]:
    """List the rows of RepViT, of EfficientTAM's neck, and of the perceiver."""
    yield from _list_repvit()
    yield from _list_plain_neck()
    yield from _list_perceiver()


def _list_repvit() -> Iterator[Row]:
    released, hf = "image_encoder.trunk.body", "vision_encoder.backbone.timm_model"
    for index in (1, 2):
        yield f"trunk.stem{index}.*", f"{released}.stem.conv{index}.*", f"{hf}.stem.conv{index}.*"
    layers = {
        "mixer": "token_mixer",
        "squeeze": "se.fc1",
        "excite": "se.fc2",
        "up": "channel_mixer.conv1",
        "down": "channel_mixer.conv2",
    }
    names = {f"blocks.#.{ours}": f"blocks.#.{theirs}" for ours, theirs in layers.items()}
    names |= {f"before.{layer}": f"downsample.pre_block.{layers[layer]}" for layer in ("mixer", "up", "down")}
    names |= {
        "spatial": "downsample.spatial_downsample",
        "channel": "downsample.channel_downsample",
        "up": "downsample.ffn.conv1",
        "down": "downsample.ffn.conv2",
    }
    for ours, theirs in names.items():
        yield f"trunk.stages.#.{ours}.*", f"{released}.stages_#.{theirs}.*", f"{hf}.stages_#.{theirs}.*"


def _list_plain_neck() -> Iterator[Row]:
    for masklet, name in (("project", "conv_1x1"), ("norm1", "norm_0"), ("smooth", "conv_3x3"), ("norm2", "norm_1")):
        layer = f"neck.convs.0.{name}.*"
        yield f"neck.{masklet}.*", f"image_encoder.{layer}", f"vision_encoder.{layer}"


def _list_perceiver() -> Iterator[Row]:
    """List the rows of the perceiver. transformers has keys and values apart; the table has them together."""
    ours, theirs = "perceiver", "spatial_perceiver"
    yield f"{ours}.latents", f"{theirs}.latents", f"{theirs}.latents_1d"
    yield f"{ours}.patch_latents", f"{theirs}.latents_2d", f"{theirs}.latents_2d"
    yield f"{ours}.norm.*", f"{theirs}.norm.*", f"{theirs}.layer_norm.*"
    for masklet, released, hf in (
        ("norm1", "attn.norm_latents", "layer_norm_latents"),
        ("norm_context", "attn.norm_x", "layer_norm_input"),
        ("to_context.q", "attn.to_q", "cross_attention.q_proj"),
        ("to_context.kv", "attn.to_kv", "cross_attention.kv_proj"),
        ("to_context.out", "attn.to_out", "cross_attention.o_proj"),
        ("mlp1.norm", "ff.0", "mlp.layer_norm"),
        ("mlp1.up", "ff.1", "mlp.up_proj"),
        ("mlp1.down", "ff.3", "mlp.down_proj"),
        ("norm2", "self_attn.norm", "layer_norm_self"),
        ("self_attention.q", "self_attn.to_q", "self_attention.q_proj"),
        ("self_attention.kv", "self_attn.to_kv", "self_attention.kv_proj"),
        ("self_attention.out", "self_attn.to_out", "self_attention.o_proj"),
        ("mlp2.norm", "self_ff.0", "self_mlp.layer_norm"),
        ("mlp2.up", "self_ff.1", "self_mlp.up_proj"),
        ("mlp2.down", "self_ff.3", "self_mlp.down_proj"),
    ):
        yield f"{ours}.layers.#.{masklet}.*", f"{theirs}.layers.#.{released}.*", f"{theirs}.layers.#.{hf}.*"

"""Names and shapes of the tensors of a configuration, as in `Sam2(config).state_dict()`, without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from masklet.backend import MEMORY_SLOTS
from masklet.config import (
    DECODER_LAYERS,
    FUSER_BLOCKS,
    HIERA,
    LITE_STEM_CHANNELS,
    MASK_PROMPT_CHANNELS,
    MASK_STRIDE,
    NUM_LABELS,
    NUM_MASKS,
    PATCH_SIZE,
    PERCEIVER_LAYERS,
    REPVIT_SCALES,
    STRIDE,
    VIT_POSITIONS,
    VIT_SCALES,
    ModelConfig,
    RepVitBlockConfig,
)

Shape = tuple[int, ...]
Entry = tuple[str, Shape]


def list_tensor_shapes(config: ModelConfig) -> dict[str, Shape]:
    """List every entry of the network's state dict (reference-model §9)."""
    trunk, neck = _efficientnet_lite, _neck
    if config.trunk == HIERA:
        trunk = _hiera
    elif config.trunk in REPVIT_SCALES:
        trunk = _repvit
    elif config.trunk in VIT_SCALES:
        trunk, neck = _vit, _plain_neck
    parts = (trunk, neck, _prompts, _decoder, _memory, _perceiver)
    return dict(entry for part in parts for entry in part(config))


def _layer(name: str, out: int, *inner: int) -> Iterator[Entry]:
    """Yield the weight and bias of a linear layer or a convolution."""
    yield f"{name}.weight", (out, *inner)
    yield f"{name}.bias", (out,)


def _norm(name: str, channels: int) -> Iterator[Entry]:
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


def _mlp(name: str, *widths: int) -> Iterator[Entry]:
    for index, (before, after) in enumerate(pairwise(widths)):
        yield from _layer(f"{name}.layers.{index}", after, before)


def _attention(name: str, channels: int, inner: int, memory: int) -> Iterator[Entry]:
    yield from _layer(f"{name}.q", inner, channels)
    yield from _layer(f"{name}.k", inner, memory)
    yield from _layer(f"{name}.v", inner, memory)
    yield from _layer(f"{name}.out", channels, inner)


def _hiera(config: ModelConfig) -> Iterator[Entry]:
    width, background, tile = config.width, config.background, config.windows[0]
    yield "trunk.positions", (1, width, background, background)
    yield "trunk.window_positions", (1, width, tile, tile)
    yield from _layer("trunk.patches", width, 3, PATCH_SIZE, PATCH_SIZE)
    yield from _attention_blocks(config)


def _vit(config: ModelConfig) -> Iterator[Entry]:
    width = config.levels[STRIDE]
    yield "trunk.positions", (1, 1 + VIT_POSITIONS**2, width)
    yield from _layer("trunk.patches", width, 3, STRIDE, STRIDE)
    yield from _attention_blocks(config)


def _attention_blocks(config: ModelConfig) -> Iterator[Entry]:
    for block in config.blocks:
        name = block.name
        yield from _norm(f"{name}.norm1", block.channels)
        yield from _layer(f"{name}.attention.qkv", 3 * block.out, block.channels)
        yield from _layer(f"{name}.attention.proj", block.out, block.out)
        yield from _norm(f"{name}.norm2", block.out)
        yield from _layer(f"{name}.mlp.up", 4 * block.out, block.out)
        yield from _layer(f"{name}.mlp.down", block.out, 4 * block.out)
        if block.pools:
            yield from _layer(f"{name}.shortcut", block.out, block.channels)


def _repvit(config: ModelConfig) -> Iterator[Entry]:
    width = config.levels[MASK_STRIDE]
    yield from _layer("trunk.stem1", width // 2, 3, 3, 3)
    yield from _layer("trunk.stem2", width, width // 2, 3, 3)
    for stage in config.repvit_stages:
        if stage.before is not None:
            yield from _repvit_block(stage.before)
            yield from _layer(f"{stage.name}.spatial", stage.channels, 1, 3, 3)
            yield from _layer(f"{stage.name}.channel", stage.out, stage.channels, 1, 1)
            yield from _channel_mlp(stage.name, stage.out)
        for block in stage.blocks:
            yield from _repvit_block(block)


def _repvit_block(block: RepVitBlockConfig) -> Iterator[Entry]:
    yield from _layer(f"{block.name}.mixer", block.channels, 1, 3, 3)
    if block.squeezed:
        yield from _layer(f"{block.name}.squeeze", block.squeezed, block.channels, 1, 1)
        yield from _layer(f"{block.name}.excite", block.channels, block.squeezed, 1, 1)
    yield from _channel_mlp(block.name, block.channels)


def _channel_mlp(name: str, channels: int) -> Iterator[Entry]:
    yield from _layer(f"{name}.up", 2 * channels, channels, 1, 1)
    yield from _layer(f"{name}.down", channels, 2 * channels, 1, 1)


def _efficientnet_lite(config: ModelConfig) -> Iterator[Entry]:
    yield from _layer("trunk.stem", LITE_STEM_CHANNELS, 3, 3, 3)
    for block in config.mbconv_blocks:
        name, kernel = block.name, block.kernel
        if block.expansion > 1:
            yield from _layer(f"{name}.expand", block.hidden, block.channels, 1, 1)
        yield from _layer(f"{name}.depthwise", block.hidden, 1, kernel, kernel)
        yield from _layer(f"{name}.project", block.out, block.hidden, 1, 1)


def _neck(config: ModelConfig) -> Iterator[Entry]:
    for level, width in enumerate(config.levels.values()):
        yield from _layer(f"neck.laterals.{level}", config.channels, width, 1, 1)
    fine, medium, channels = config.feature_channels
    yield from _layer("neck.stride4", fine, channels, 1, 1)
    yield from _layer("neck.stride8", medium, channels, 1, 1)


def _plain_neck(config: ModelConfig) -> Iterator[Entry]:
    channels = config.channels
    yield "neck.project.weight", (channels, config.levels[STRIDE], 1, 1)
    yield from _norm("neck.norm1", channels)
    yield "neck.smooth.weight", (channels, channels, 3, 3)
    yield from _norm("neck.norm2", channels)


def _prompts(config: ModelConfig) -> Iterator[Entry]:
    name, channels = "prompt_encoder", config.channels
    yield f"{name}.fourier.gaussian", (2, channels // 2)
    for token in (*(f"labels.{label}" for label in range(NUM_LABELS)), "not_a_point", "no_mask"):
        yield f"{name}.{token}", (1, channels)
    yield from _layer(f"{name}.mask1", MASK_PROMPT_CHANNELS // 4, 1, 2, 2)
    yield from _norm(f"{name}.mask_norm1", MASK_PROMPT_CHANNELS // 4)
    yield from _layer(f"{name}.mask2", MASK_PROMPT_CHANNELS, MASK_PROMPT_CHANNELS // 4, 2, 2)
    yield from _norm(f"{name}.mask_norm2", MASK_PROMPT_CHANNELS)
    yield from _layer(f"{name}.mask3", channels, MASK_PROMPT_CHANNELS, 1, 1)


def _decoder(config: ModelConfig) -> Iterator[Entry]:
    name, channels, (fine, medium) = "mask_decoder", config.channels, config.upscaled_channels
    for token, count in (("object_token", 1), ("iou_token", 1), ("mask_tokens", NUM_MASKS)):
        yield f"{name}.{token}", (count, channels)
    for index in range(DECODER_LAYERS):
        layer = f"{name}.transformer.layers.{index}"
        yield from _attention(f"{layer}.self_attention", channels, channels, channels)
        for direction in ("to_image", "to_tokens"):
            yield from _attention(f"{layer}.{direction}", channels, channels // 2, channels)
        for norm in range(1, 5):
            yield from _norm(f"{layer}.norm{norm}", channels)
        yield from _mlp(f"{layer}.mlp", channels, config.decoder_hidden, channels)
    yield from _attention(f"{name}.transformer.to_image", channels, channels // 2, channels)
    yield from _norm(f"{name}.transformer.norm", channels)
    for step, (before, after) in enumerate(((channels, medium), (medium, fine)), start=1):
        yield f"{name}.upscale{step}.weight", (before, after, 2, 2)
        yield f"{name}.upscale{step}.bias", (after,)
    yield from _norm(f"{name}.upscale_norm", medium)
    heads = {f"mask_heads.{mask}": fine for mask in range(NUM_MASKS)} | {
        "iou_head": NUM_MASKS,
        "object_head": 1,
    }
    for head, out in heads.items():
        yield from _mlp(f"{name}.{head}", channels, channels, channels, out)


def _memory(config: ModelConfig) -> Iterator[Entry]:
    channels, width, name = config.channels, config.memory_channels, "memory_attention"
    for index in range(config.attention_layers):
        layer = f"{name}.layers.{index}"
        yield from _attention(f"{layer}.self_attention", channels, channels, channels)
        yield from _attention(f"{layer}.to_memory", channels, channels, width)
        for norm in range(1, 4):
            yield from _norm(f"{layer}.norm{norm}", channels)
        yield from _layer(f"{layer}.up", config.attention_hidden, channels)
        yield from _layer(f"{layer}.down", channels, config.attention_hidden)
    yield from _norm(f"{name}.norm", channels)
    yield from _encoder(channels, width)
    yield from _mlp("pointer_head", channels, channels, channels, channels)
    yield from _layer("mask_downsample", 1, 1, MASK_STRIDE, MASK_STRIDE)
    yield "slots", (MEMORY_SLOTS, 1, 1, width)
    for vector in ("no_memory", "no_memory_position"):
        yield vector, (1, 1, channels)
    yield "no_pointer", (1, channels)
    if config.occlusion:
        yield "hidden", (1, width)
    if config.pointer_times:
        yield from _layer("pointer_times", width, channels)


def _perceiver(config: ModelConfig) -> Iterator[Entry]:
    if not config.latent_grid:
        return
    name, width = "perceiver", config.memory_channels
    yield f"{name}.latents", (config.global_latents, width)
    yield f"{name}.patch_latents", (config.latent_grid**2, width)
    for index in range(PERCEIVER_LAYERS):
        layer = f"{name}.layers.{index}"
        yield from _norm(f"{layer}.norm1", width)
        yield from _norm(f"{layer}.norm_context", width)
        yield from _latent_attention(f"{layer}.to_context", width)
        yield from _latent_mlp(f"{layer}.mlp1", width)
        yield from _norm(f"{layer}.norm2", width)
        yield from _latent_attention(f"{layer}.self_attention", width)
        yield from _latent_mlp(f"{layer}.mlp2", width)
    yield from _norm(f"{name}.norm", width)


def _latent_attention(name: str, width: int) -> Iterator[Entry]:
    for projection, count in (("q", 1), ("kv", 2), ("out", 1)):
        yield f"{name}.{projection}.weight", (count * width, width)


def _latent_mlp(name: str, width: int) -> Iterator[Entry]:
    yield from _norm(f"{name}.norm", width)
    yield f"{name}.up.weight", (4 * width, width)
    yield f"{name}.down.weight", (width, 4 * width)


def _encoder(channels: int, width: int) -> Iterator[Entry]:
    name = "memory_encoder"
    widths = (1, *(channels // 4**power for power in (3, 2, 1, 0)))
    for index in range(4):
        yield from _layer(f"{name}.mask.convs.{index}", widths[index + 1], widths[index], 3, 3)
        yield from _norm(f"{name}.mask.norms.{index}", widths[index + 1])
    yield from _layer(f"{name}.mask.out", channels, channels, 1, 1)
    yield from _layer(f"{name}.image", channels, channels, 1, 1)
    for index in range(FUSER_BLOCKS):
        block = f"{name}.fuser.{index}"
        yield from _layer(f"{block}.depthwise", channels, 1, 7, 7)
        yield from _norm(f"{block}.norm", channels)
        yield from _layer(f"{block}.up", 4 * channels, channels)
        yield from _layer(f"{block}.down", channels, 4 * channels)
        yield f"{block}.gain", (channels,)
    yield from _layer(f"{name}.out", width, channels, 1, 1)

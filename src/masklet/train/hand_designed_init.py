"""Hand-designed initial weights, with which an untrained network already responds to prompts and keeps masks.

They are ordinary weights, which training can change. A network without them needs thousands of steps to learn that a
click stands for the pixels around it, and does not learn to track in the time that is available (docs/log.md).

Position: the finest features contain sines and cosines of the position, and decoder attention compares positions.

Masks: a mask is carried through the networks as pairs of channels, one with the value and one with its negative. Pairs
survive norms, which remove the mean of all channels of a cell, and activations, since gelu(x) − gelu(−x) = x. Each cell
of the stride-16 features holds 4 × 4 parts of a mask in its first 16 channels, which the image does not use at first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

from masklet.config import POSITION_WAVES, WAVE_CYCLES
from masklet.model.attention import Attention
from masklet.model.hiera import Hiera
from masklet.model.layers import MLP
from masklet.model.mask_decoder import MaskDecoder, TwoWayLayer
from masklet.model.memory_attention import MemoryAttentionLayer
from masklet.model.memory_encoder import MemoryEncoder
from masklet.model.neck import Neck
from masklet.model.prompt_encoder import PromptEncoder
from masklet.model.rope import RotaryAttention
from masklet.model.sam2 import Sam2

# Fractions called RANDOM are of PyTorch's random initialization, which stays beside the designed weights.
WAVE_GAIN = 2.0  # weight of each wave in the queries and keys of decoder attention
USED_WAVES = 0.85  # fraction of the waves that are used, coarsest first; finer ones repeat within the image
RANDOM_FRACTION = 0.3
PLACE_GAIN, FAST_PAIRS = 5.0, 8  # gain and number of the rotary pairs that memory attention compares places with
POINTER_LOGIT_GAP = 5.0  # how much lower the attention logit of a pointer is than that of the same place
CARRIER_RANDOM_FRACTION = 0.1  # in layers that carry masks
PARTS_PER_SIDE = 4  # parts of a cell's mask along each side
MASK_CHANNELS = PARTS_PER_SIDE**2
PRETRAINED_SCALES = (6.0, 8.0, 4.0, 4.0)  # by which the weights of the neck are divided, for the levels of the trunk
MASK_FEATURE = 12  # index of the mask's channel in the finest features, after the waves; the next is its negative
PROMPT_GAIN, MEMORY_GAIN, OUTPUT_GAIN = 3.0, 6.0, 2.0  # gains of masks from prompts, from memory, and at the output
SELF_ATTENTION_GAIN = 1.2  # gain of the orthogonal queries and keys of the first self-attention
CLICK_GAIN = 4.0  # gain of the mask around a click
BACKGROUND_FRACTION = 0.25  # fraction of `CLICK_GAIN` that is subtracted everywhere
OBJECT_SCORE_BIAS = 1.0
CORNER_FRACTION = 0.3  # fraction of the click embedding in the embeddings of box corners

Module = TypeVar("Module", bound=nn.Module)


@torch.no_grad()
def init_decoder_attention(attention: Attention, gaussian: Tensor) -> None:
    """Let decoder attention prefer places near a prompt.

    Each head compares a few waves of the Fourier position encoding, from coarse to fine. The product of a query and a
    key becomes a sum of cos 2πg·(x − y), which is largest at equal positions x and y.

    Args:
        attention: Attention between tokens and image features.
        gaussian: The frequencies (2, W) of the Fourier position encoding.
    """
    inner, waves = attention.q.out_features, gaussian.shape[1]
    coarse_first = gaussian.norm(dim=0).argsort()
    chosen = coarse_first[torch.linspace(0, int(USED_WAVES * waves) - 1, inner // 2).long()]
    compared = torch.zeros(inner, 2 * waves)
    rows = torch.arange(0, inner, 2)
    compared[rows, chosen], compared[rows + 1, waves + chosen] = WAVE_GAIN, WAVE_GAIN
    for linear in (attention.q, attention.k):
        linear.weight.mul_(RANDOM_FRACTION).add_(compared)
        nn.init.zeros_(linear.bias)


@torch.no_grad()
def init_memory_attention(model: Sam2) -> None:
    """Let memory attention look up the same place in earlier frames, and with a lower weight object pointers.

    The first estimate of an object's place is its place in the previous frame. Queries and keys are constants: after
    the rotary position encoding, their product is largest at equal places. Only the pairs of channels that rotate
    fastest are used, at the start of the x half and of the y half, since slower pairs cannot separate adjacent places.

    Pointers have no place. One of the last two memory channels is constant in maps (by their position encoding), the
    other in pointers. A pair that hardly rotates reads the latter, because pointers without attention get no gradient.
    """
    last, memory = slice(-2, None), model.config.memory_channels
    for part in range(0, model.config.channels, memory):
        _zero_channels(_last_linear(model.pointer_head), slice(part + memory - 2, part + memory))
    _zero_channels(model.memory_encoder.out, last)
    if model.pointer_times is not None:
        _zero_channels(model.pointer_times, last)
        model.pointer_times.bias[-2] = 1
    for layer in _of_type(model.memory_attention.layers, MemoryAttentionLayer):
        q, k = layer.to_memory.q, layer.to_memory.k
        half = q.out_features // 2
        fast = [start + 2 * pair for start in (0, half) for pair in range(FAST_PAIRS)]
        nn.init.zeros_(k.bias)
        nn.init.zeros_(q.bias)
        q.bias[fast] = PLACE_GAIN
        k.weight[fast] = 0
        k.weight[fast, -1] = PLACE_GAIN
        gain = len(fast) * PLACE_GAIN**2 - POINTER_LOGIT_GAP * q.out_features**0.5
        q.bias[half - 2] = gain**0.5
        k.weight[half - 2] = 0
        k.weight[half - 2, -2] = gain**0.5


@torch.no_grad()
def init_position_waves(model: Sam2) -> None:
    """Write waves over the image into the finest features, from which a mask's hypernetwork can form any box.

    Mask logits are weighted sums of these features. Without waves, the position of a prompt could change masks
    only by cells of 16 pixels.
    """
    trunk, neck = model.trunk, _get_pyramid(model)
    finest, lateral = neck.stride4, _of_type(neck.laterals, nn.Conv2d)[0]
    if isinstance(trunk, Hiera):
        count = _init_position_table(trunk, lateral)
    else:
        count = POSITION_WAVES
        _zero_channels(lateral, slice(count))
        lateral.weight[:count, -count:] = torch.eye(count)[..., None, None]
    for channel in range(count):
        finest.weight[channel] *= RANDOM_FRACTION
        finest.weight[channel, channel] += 1
        _bias(finest)[channel] += 1  # shifts the values to where gelu is nearly linear


def _init_position_table(trunk: Hiera, lateral: nn.Conv2d) -> int:
    """Write waves into the position embedding and let the neck read them. Returns the number of waves."""
    waves = _position_waves(trunk.positions.shape[-1])
    for channel, wave in enumerate(waves):
        for layer in (trunk.patches, lateral):
            _zero_channels(layer, slice(channel, channel + 1))
        trunk.positions[0, channel] = wave / 2
        lateral.weight[channel, channel] = 2
    return len(waves)


@torch.no_grad()
def init_pretrained_laterals(model: Sam2) -> None:
    """Scale a new neck down to the maps of a pretrained EfficientNet-Lite, whose standard deviations are 3 to 7.

    The decoder needs features with values around one or less, or the prompts have no effect (docs/log.md).
    """
    laterals = _of_type(_get_pyramid(model).laterals, nn.Conv2d)
    for lateral, scale in zip(laterals, PRETRAINED_SCALES, strict=True):
        lateral.weight /= scale
    laterals[0].weight[:, -POSITION_WAVES:] *= PRETRAINED_SCALES[0]  # waves are not part of the pretrained maps


@torch.no_grad()
def init_mask_channels(model: Sam2) -> None:
    """Carry masks of prompts and of the memory through the networks to the output."""
    for lateral in _get_pyramid(model).laterals[2:]:
        _zero_channels(lateral)
    _init_mask_prompts(model.prompt_encoder)
    _init_memory_encoder(model.memory_encoder)
    for layer in _of_type(model.memory_attention.layers, MemoryAttentionLayer):
        _init_memory_values(layer.to_memory)
    _init_mask_output(model.mask_decoder)


@torch.no_grad()
def init_click_response(model: Sam2, generator: Generator) -> None:
    """Add the surroundings of positive clicks to masks, subtract those of negative ones; score objects as present."""
    labels = list(model.prompt_encoder.labels)
    layers = _of_type(model.mask_decoder.transformer.layers, TwoWayLayer)
    positive = labels[1][0].clone()
    labels[0][0] = -positive
    for corner in labels[2:]:
        corner.mul_((1 - CORNER_FRACTION**2) ** 0.5).add_(CORNER_FRACTION * positive)
    _init_self_attention(layers[0].self_attention, generator)
    for layer in layers:
        attention = layer.to_tokens
        firsts = torch.arange(attention.heads) * (attention.v.out_features // attention.heads)
        attention.v.weight[firsts] = positive / len(positive)
        attention.v.bias[firsts] = 0
        attention.out.weight[:MASK_CHANNELS] = 0
        attention.out.weight[:MASK_CHANNELS, firsts] = CLICK_GAIN / attention.heads
        attention.out.bias[:MASK_CHANNELS] = -BACKGROUND_FRACTION * CLICK_GAIN
    _bias(_last_linear(model.mask_decoder.object_head))[:] = OBJECT_SCORE_BIAS


def _get_pyramid(model: Sam2) -> Neck:
    """Return the neck of a network that can be initialized, whose trunk is Hiera or EfficientNet-Lite."""
    assert isinstance(model.neck, Neck)
    return model.neck


def _position_waves(side: int) -> list[Tensor]:
    """Return the sines and cosines along x and along y that a table of this side resolves, each (side, side)."""
    positions = (torch.arange(side) + 0.5) / side * 2 - 1
    angles = [torch.pi * cycles * positions for cycles in WAVE_CYCLES if 4 * cycles <= side]
    lines = [wave(angle) for angle in angles for wave in (torch.sin, torch.cos)]
    return [map_ for line in lines for map_ in (line.expand(side, side), line[:, None].expand(side, side))]


def _init_self_attention(attention: Attention, generator: Generator) -> None:
    """Let every token attend to itself, since the first layer has no residual connection."""
    nn.init.orthogonal_(attention.q.weight, SELF_ATTENTION_GAIN, generator)
    attention.k.weight.copy_(attention.q.weight)
    for linear in (attention.v, attention.out):
        linear.weight.mul_(RANDOM_FRACTION).add_(torch.eye(len(linear.weight)))
    for linear in (attention.q, attention.k, attention.v, attention.out):
        nn.init.zeros_(linear.bias)


def _init_mask_prompts(prompts: PromptEncoder) -> None:
    """Write the parts of a mask prompt into the mask channels of the dense embedding."""
    _carry_signals(prompts.mask1, 1)
    _carry_signals(prompts.mask2, 1, finer=True)
    _zero_channels(prompts.mask3)
    for part, (row, column) in enumerate(_grid_cells(PARTS_PER_SIDE)):
        prompts.mask3.weight[part, :, 0, 0] = PROMPT_GAIN * _read_pattern(16, 2, row // 2, column // 2)


def _init_memory_encoder(memory: MemoryEncoder) -> None:
    """Write the parts of a mask into memory: two convolutions average, two separate the parts."""
    for conv, parts, finer in zip(memory.mask.convs, (1, 1, 1, 2), (False, False, True, True), strict=True):
        _carry_signals(conv, parts, finer=finer)
    for layer in (memory.mask.out, memory.image, memory.out):
        _zero_channels(layer)
    for part, (row, column) in enumerate(_grid_cells(PARTS_PER_SIDE)):
        memory.mask.out.weight[part, :, 0, 0] = _read_pattern(memory.mask.out.in_channels, PARTS_PER_SIDE, row, column)
        memory.out.weight[part, part] = 1


def _init_memory_values(attention: RotaryAttention) -> None:
    """Copy the mask channels of memory to the features."""
    for linear, gain in ((attention.v, 1.0), (attention.out, MEMORY_GAIN)):
        linear.weight[:MASK_CHANNELS] = gain * torch.eye(MASK_CHANNELS, linear.in_features)
        linear.bias[:MASK_CHANNELS] = 0


def _init_mask_output(decoder: MaskDecoder) -> None:
    """Upsample the parts of each cell: to its quarters, then to single logits."""
    channels = 2 * PARTS_PER_SIDE  # for the four parts of a quarter and their negatives
    for part, (row, column) in enumerate(_grid_cells(PARTS_PER_SIDE)):
        decoder.upscale1.weight[part, :channels, row // 2, column // 2] += _write_pattern(
            channels, 2, row % 2, column % 2
        )
    for row, column in _grid_cells(2):
        signal = _write_pattern(channels, 2, row, column)
        decoder.upscale2.weight[:channels, MASK_FEATURE, row, column] += signal
        decoder.upscale2.weight[:channels, MASK_FEATURE + 1, row, column] -= signal
    for head in _of_type(decoder.mask_heads, MLP):
        _bias(_last_linear(head))[MASK_FEATURE : MASK_FEATURE + 2] += torch.tensor([OUTPUT_GAIN, -OUTPUT_GAIN])


def _carry_signals(conv: nn.Module, parts: int, *, finer: bool = False) -> None:
    """Let a convolution of stride 2 carry the `parts`² parts of a mask per cell.

    The output has their means, or with `finer` all of them as (2 · `parts`)² parts of the larger cell.
    """
    assert isinstance(conv, nn.Conv2d)
    outs, ins, side, _ = conv.weight.shape
    conv.weight.mul_(CARRIER_RANDOM_FRACTION)
    nn.init.zeros_(_bias(conv))
    outer = 2 * parts if finer else parts
    for row, column in _grid_cells(outer):
        taps = torch.zeros(side, side)
        if finer:
            taps[side - 2 + row // parts, side - 2 + column // parts] = 1
        else:
            taps[-2:, -2:] = 0.25
        passed = torch.outer(
            _write_pattern(outs, outer, row, column), _read_pattern(ins, parts, row % parts, column % parts)
        )
        conv.weight.add_(passed[:, :, None, None] * taps)


def _zero_channels(layer: nn.Module, channels: slice = slice(MASK_CHANNELS)) -> None:
    """Set output channels of a layer to zero, by default the mask channels."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    layer.weight[channels] = 0
    _bias(layer)[channels] = 0


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _last_linear(network: MLP) -> nn.Linear:
    return _of_type(network.layers, nn.Linear)[-1]


def _of_type(modules: Iterable[nn.Module], kind: type[Module]) -> list[Module]:
    """Return the modules that have a type."""
    return [module for module in modules if isinstance(module, kind)]


def _grid_cells(side: int) -> Iterator[tuple[int, int]]:
    """Yield the rows and columns of the cells of a square grid."""
    return product(range(side), range(side))


def _write_pattern(channels: int, parts: int, row: int, column: int) -> Tensor:
    """Return (channels,): 1 and −1 for the channels that carry one of `parts`² parts and its negative, else 0."""
    pattern, each = torch.zeros(channels), channels // parts**2
    start = (row * parts + column) * each
    pattern[start : start + each] = -1
    pattern[start : start + (each + 1) // 2] = 1
    return pattern


def _read_pattern(channels: int, parts: int, row: int, column: int) -> Tensor:
    """Return (channels,): weights that read a pattern: the mean of the values minus that of the negatives."""
    each = channels // parts**2
    return _write_pattern(channels, parts, row, column) / max(1, each // 2)

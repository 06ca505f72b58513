"""What a network can do before it has learned anything: know where things are, keep a mask, paint around a click.

All of it is ordinary weights, which training is free to change. Without them a network spends thousands of steps on
finding out that a click means the pixels around it, and never gets as far as following (`docs/log.md`).

Masks travel through the networks as signals: a channel that has the value and another that has its opposite, since
norms take away what all channels of a place share, and gelu(x) − gelu(−x) = x. Each place of the features (16 × 16
pixels) keeps 4 × 4 parts of a mask in its first 16 channels, which the picture leaves alone at first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

from masklet.model.attention import Attention, RotaryAttention
from masklet.model.layers import MLP
from masklet.model.mask_decoder import MaskDecoder, TwoWayLayer
from masklet.model.memory_attention import MemoryLayer
from masklet.model.memory_encoder import MemoryEncoder
from masklet.model.prompt_encoder import PromptEncoder
from masklet.model.sam2 import Sam2

NEARNESS = 2.0  # weight of each wave in queries and keys of the decoder
FINEST = 0.85  # the share of the waves that are coarse enough to be looked at: finer ones repeat within the picture
REST = 0.3  # of PyTorch's own spread, which is left beside it
SAMENESS, QUICKEST = 5.0, 8  # of queries and keys in the pairs of channels that turn most from place to place
POINTERS = 5.0  # how much less the logarithm of the look at a pointer is than that at the same place
WAVES = 0.5, 2.0, 6.0  # cycles over the picture that the finest features tell, each as far as the table can hold it
QUIET = 0.1  # of PyTorch's own spread, which is left where signals are carried
ACROSS = 4  # parts of a place's mask along each side
KEPT = ACROSS**2
SHOWN = 12  # of the finest features: the mask's part, and after it its opposite; the waves come before
PROMPTED, RECALLED, ANSWERED = 3.0, 6.0, 2.0  # how loud a mask is that is given, remembered, answered
ITSELF = 1.2  # spread of queries and keys by which a prompt finds itself among the others
PAINT, EMPTY = 4.0, 0.25  # how loud a click is around it, and which share of that is taken away everywhere
PRESENT = 1.0  # how sure it is that what is asked for is there
CORNER = 0.3  # how much of a click the corners of a box have


Module = TypeVar("Module", bound=nn.Module)


@torch.no_grad()
def look_nearby(look: Attention, gaussian: Tensor) -> None:
    """Queries and keys that agree where places do: each head compares a few of the waves that tell where things are.

    The product of a query and a key is then a sum of cos 2πg·(x − y), largest where both are at one place, and heads
    go from coarse waves to fine ones.
    """
    inner, waves = look.q.out_features, gaussian.shape[1]
    coarse_first = gaussian.norm(dim=0).argsort()
    chosen = coarse_first[torch.linspace(0, int(FINEST * waves) - 1, inner // 2).long()]
    compared = torch.zeros(inner, 2 * waves)
    rows = torch.arange(0, inner, 2)
    compared[rows, chosen], compared[rows + 1, waves + chosen] = NEARNESS, NEARNESS
    for linear in (look.q, look.k):
        linear.weight.mul_(REST).add_(compared)
        nn.init.zeros_(linear.bias)


@torch.no_grad()
def look_at_the_same_place(model: Sam2) -> None:
    """Each place of a frame begins by looking at the same place of its memories, and a little at the pointers.

    What was at a place a frame ago is the best guess of what is there now. Queries and keys are constant; once each is
    turned by its place, their product is largest where both places are one. Only the pairs of channels that turn most
    count, the first ones of the half for x and of the half for y: the others cannot tell a place from the next.
    Pointers have no place. Of the last two channels, one is told maps by their sine tables and the other is told
    pointers; a pair that hardly turns listens to that, for what is never looked at is never learned.
    """
    last, memory = slice(-2, None), model.config.memory_channels
    for part in range(0, model.config.channels, memory):
        _silence(_last(model.pointer_head), slice(part + memory - 2, part + memory))
    _silence(model.memory_encoder.out, last)
    if model.pointer_times is not None:
        _silence(model.pointer_times, last)
        model.pointer_times.bias[-2] = 1
    for layer in _all(model.memory_attention.layers, MemoryLayer):
        q, k = layer.to_memory.q, layer.to_memory.k
        half = q.out_features // 2
        quick = [start + 2 * pair for start in (0, half) for pair in range(QUICKEST)]
        nn.init.zeros_(k.bias)
        nn.init.zeros_(q.bias)
        q.bias[quick] = SAMENESS
        k.weight[quick] = 0
        k.weight[quick, -1] = SAMENESS
        loudness = len(quick) * SAMENESS**2 - POINTERS * q.out_features**0.5
        q.bias[half - 2] = loudness**0.5
        k.weight[half - 2] = 0
        k.weight[half - 2, -2] = loudness**0.5


@torch.no_grad()
def tell_places(model: Sam2) -> None:
    """Waves over the picture in the finest features, from which the small network of a mask can draw any box.

    A mask's logits are sums of these features, so without them nothing finer than a place of 16 pixels can follow
    from where a prompt is.
    """
    trunk, finest = model.trunk, model.neck.stride4
    lateral = _all(model.neck.laterals, nn.Conv2d)[0]
    for channel, wave in enumerate(_waves(trunk.positions.shape[-1])):
        for layer in (trunk.patches, lateral):
            _silence(layer, slice(channel, channel + 1))
        trunk.positions[0, channel] = wave / 2
        lateral.weight[channel, channel] = 2
        finest.weight[channel] *= REST
        finest.weight[channel, channel] += 1
        _bias(finest)[channel] += 1  # where a gelu is nearly straight


@torch.no_grad()
def keep_masks(model: Sam2) -> None:
    """Masks that are given as prompts or remembered begin by being answered again."""
    for lateral in model.neck.laterals[2:]:
        _silence(lateral)
    _prompted(model.prompt_encoder)
    _memorized(model.memory_encoder)
    for layer in _all(model.memory_attention.layers, MemoryLayer):
        _recalled(layer.to_memory)
    _answered(model.mask_decoder)


@torch.no_grad()
def paint_clicks(model: Sam2, generator: Generator) -> None:
    """Places near a click begin to belong to the mask, those near a negative one not to; what is asked for is there."""
    labels = list(model.prompt_encoder.labels)
    layers = _all(model.mask_decoder.transformer.layers, TwoWayLayer)
    positive = labels[1][0].clone()
    labels[0][0] = -positive
    for corner in labels[2:]:
        corner.mul_((1 - CORNER**2) ** 0.5).add_(CORNER * positive)
    _look_at_itself(layers[0].self_attention, generator)
    for layer in layers:
        look = layer.to_tokens
        firsts = torch.arange(look.heads) * (look.v.out_features // look.heads)
        look.v.weight[firsts] = positive / len(positive)
        look.v.bias[firsts] = 0
        look.out.weight[:KEPT] = 0
        look.out.weight[:KEPT, firsts] = PAINT / look.heads
        look.out.bias[:KEPT] = -EMPTY * PAINT
    _bias(_last(model.mask_decoder.object_head))[:] = PRESENT


def _waves(side: int) -> list[Tensor]:
    """Sines and cosines along x and along y on a table of that side."""
    places = (torch.arange(side) + 0.5) / side * 2 - 1
    told = [torch.pi * cycles * places for cycles in WAVES if 4 * cycles <= side]
    lines = [wave(angles) for angles in told for wave in (torch.sin, torch.cos)]
    return [map_ for line in lines for map_ in (line.expand(side, side), line[:, None].expand(side, side))]


def _look_at_itself(look: Attention, generator: Generator) -> None:
    """Attention by which every token begins by finding itself: the opening layer has no other way to keep it."""
    nn.init.orthogonal_(look.q.weight, ITSELF, generator)
    look.k.weight.copy_(look.q.weight)
    for linear in (look.v, look.out):
        linear.weight.mul_(REST).add_(torch.eye(len(linear.weight)))
    for linear in (look.q, look.k, look.v, look.out):
        nn.init.zeros_(linear.bias)


def _prompted(prompts: PromptEncoder) -> None:
    _carry(prompts.mask1, 1)
    _carry(prompts.mask2, 1, finer=True)
    _silence(prompts.mask3)
    for part, (row, column) in enumerate(_parts(ACROSS)):
        prompts.mask3.weight[part, :, 0, 0] = PROMPTED * _heard(16, 2, row // 2, column // 2)


def _memorized(memory: MemoryEncoder) -> None:
    """Two convolutions that average, two that keep the parts apart; the fuser passes on what it gets."""
    for conv, across, finer in zip(memory.mask.convs, (1, 1, 1, 2), (False, False, True, True), strict=True):
        _carry(conv, across, finer=finer)
    for layer in (memory.mask.out, memory.image, memory.out):
        _silence(layer)
    for part, (row, column) in enumerate(_parts(ACROSS)):
        memory.mask.out.weight[part, :, 0, 0] = _heard(memory.mask.out.in_channels, ACROSS, row, column)
        memory.out.weight[part, part] = 1


def _recalled(look: RotaryAttention) -> None:
    for linear, loudness in ((look.v, 1.0), (look.out, RECALLED)):
        linear.weight[:KEPT] = loudness * torch.eye(KEPT, linear.in_features)
        linear.bias[:KEPT] = 0


def _answered(decoder: MaskDecoder) -> None:
    """Each place's parts go to its four quarters, from there to their own places among the mask's logits."""
    few = 2 * ACROSS  # channels of a quarter's four parts and their opposites; the others are left alone
    for part, (row, column) in enumerate(_parts(ACROSS)):
        decoder.upscale1.weight[part, :few, row // 2, column // 2] += _said(few, 2, row % 2, column % 2)
    for row, column in _parts(2):
        signal = _said(few, 2, row, column)
        decoder.upscale2.weight[:few, SHOWN, row, column] += signal
        decoder.upscale2.weight[:few, SHOWN + 1, row, column] -= signal
    for head in _all(decoder.mask_heads, MLP):
        _bias(_last(head))[SHOWN : SHOWN + 2] += torch.tensor([ANSWERED, -ANSWERED])


def _carry(conv: nn.Module, across: int, *, finer: bool = False) -> None:
    """A convolution of stride 2 that passes on signals of `across`² parts: their means, or, with `finer`, all of them
    as parts of the coarser place."""
    assert isinstance(conv, nn.Conv2d)
    outs, ins, side, _ = conv.weight.shape
    conv.weight.mul_(QUIET)
    nn.init.zeros_(_bias(conv))
    many = 2 * across if finer else across
    for row, column in _parts(many):
        taps = torch.zeros(side, side)
        if finer:
            taps[side - 2 + row // across, side - 2 + column // across] = 1
        else:
            taps[-2:, -2:] = 0.25
        passed = torch.outer(_said(outs, many, row, column), _heard(ins, across, row % across, column % across))
        conv.weight.add_(passed[:, :, None, None] * taps)


def _silence(layer: nn.Module, channels: slice = slice(KEPT)) -> None:
    """Let a layer leave channels alone, by default those of the mask."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    layer.weight[channels] = 0
    _bias(layer)[channels] = 0


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _last(network: MLP) -> nn.Linear:
    return _all(network.layers, nn.Linear)[-1]


def _all(modules: Iterable[nn.Module], kind: type[Module]) -> list[Module]:
    """The modules of that kind, known to be so."""
    return [module for module in modules if isinstance(module, kind)]


def _parts(across: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of the parts."""
    return product(range(across), range(across))


def _said(channels: int, across: int, row: int, column: int) -> Tensor:
    """(channels,): 1 and −1 where a channel says this one of `across`² parts, or its opposite; 0 elsewhere."""
    said, each = torch.zeros(channels), channels // across**2
    start = (row * across + column) * each
    said[start : start + each] = -1
    said[start : start + (each + 1) // 2] = 1
    return said


def _heard(channels: int, across: int, row: int, column: int) -> Tensor:
    """(channels,): weights by which a signal is read again, the mean of its channels less that of their opposites."""
    each = channels // across**2
    return _said(channels, across, row, column) / max(1, each // 2)

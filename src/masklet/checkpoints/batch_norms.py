"""Batch norms of RepViT, EdgeTAM's trunk: folded into the convolutions when a checkpoint is read, restored for writing.

A released checkpoint has convolutions `X.c` without a bias, each with its batch norm `X.bn`. A token mixer is the sum
of a 3 × 3 convolution, a 1 × 1 convolution and its input. The network has one convolution with a bias for each.

Folded weights are float64, so that a network in float64 is exact; others round them once. Written checkpoints have
batch norms that change nothing, which are recognized when they are read, so that the weights are the same bits. In a
written token mixer the 1 × 1 convolution is −1, which cancels the input, and the 3 × 3 convolution has all weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import CheckpointError

_EPS = 1e-5
_CONV, _NORM = ".c.weight", ".bn."
_STATISTICS = ("weight", "bias", "running_mean", "running_var")
_COUNT = "num_batches_tracked"  # unused
_MIXER = ".token_mixer"
_BRANCHES = (f"{_MIXER}.conv", f"{_MIXER}.conv1")  # 3 × 3 and 1 × 1
_FOLDED = re.compile(
    r"(?:image_encoder\.trunk\.body|vision_encoder\.backbone\.timm_model)\."
    r"(?:stem\.conv\d|.*\.(?:channel_mixer|ffn)\.conv\d|.*_downsample|.*\.token_mixer)\.weight"
)
Arrays = dict[str, NDArray[Any]]


def fold_batch_norms(tensors: Mapping[str, NDArray[Any]]) -> Arrays:
    """Fold the batch norms of a released or a transformers state dict; one without batch norms is returned unchanged.

    Convolutions and batch norms whose shapes do not fit are kept, for `check_entries` to report.

    Raises:
        CheckpointError: `checkpoint-mismatch`. A running variance is negative.
    """
    folded, used = dict[str, NDArray[Any]](), set[str]()
    for name, weight in tensors.items():
        prefix = name.removesuffix(_CONV)
        statistics = [tensors[key] for part in _STATISTICS if (key := f"{prefix}{_NORM}{part}") in tensors]
        fits = len(statistics) == len(_STATISTICS) and all(value.shape == weight.shape[:1] for value in statistics)
        if prefix == name or weight.ndim != 4 or not fits:
            continue
        used.update((name, *(f"{prefix}{_NORM}{part}" for part in (*_STATISTICS, _COUNT))))
        folded[f"{prefix}.weight"], folded[f"{prefix}.bias"] = _fold(prefix, weight, *statistics)
    _merge_branches(folded)
    return {name: value for name, value in tensors.items() if name not in used} | folded


def _fold(
    prefix: str,
    weight: NDArray[Any],
    gain: NDArray[Any],
    bias: NDArray[Any],
    mean: NDArray[Any],
    variance: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the weight and the bias of one convolution with its batch norm."""
    if (variance < 0).any():
        name = f"{prefix}{_NORM}running_var"
        message = f"{name} must not be negative, got {variance.min():.3g}"
        raise CheckpointError("checkpoint-mismatch", message, name=name)
    scale = gain.astype(np.float64) / np.sqrt(variance.astype(np.float64) + _EPS)
    scale[(gain == 1) & (variance == _identity_variance(variance.dtype))] = 1
    return weight * scale[:, None, None, None], bias - mean * scale


def _identity_variance(dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the variance of a batch norm that changes nothing."""
    return np.asarray(1 - _EPS, dtype)


def _merge_branches(folded: Arrays) -> None:
    """Replace the two folded convolutions of each token mixer and its input with one convolution."""
    large, small = _BRANCHES
    for name in [name for name in folded if name.endswith(f"{large}.weight")]:
        prefix = name.removesuffix(f"{large}.weight")
        branches = (folded.get(f"{prefix}{branch}.weight", np.zeros(0)).shape for branch in _BRANCHES)
        if [shape[1:] for shape in branches] != [(1, 3, 3), (1, 1, 1)]:
            continue
        weight, bias = folded.pop(name), folded.pop(f"{prefix}{large}.bias")
        # the sum of the 1 × 1 convolution and the input comes first: it is 0 in written checkpoints
        weight[:, :, 1, 1] += folded.pop(f"{prefix}{small}.weight")[:, :, 0, 0] + 1
        folded[f"{prefix}{_MIXER}.weight"] = weight
        folded[f"{prefix}{_MIXER}.bias"] = bias + folded.pop(f"{prefix}{small}.bias")


def fold_name(name: str) -> str:
    """Return the name of the folded entry that an entry of a convolution or a batch norm becomes part of.

    Other names, and that of the unused number of batches, are returned unchanged.
    """
    if name.endswith(_CONV):
        name = name.removesuffix(_CONV) + ".weight"
    elif _NORM in name and not name.endswith(_COUNT):
        name = name.partition(_NORM)[0] + ".bias"
    else:
        return name
    return re.sub(rf"{re.escape(_MIXER)}\.conv1?\.", f"{_MIXER}.", name)


def restore_batch_norms(tensors: Mapping[str, NDArray[Any]]) -> Arrays:
    """Write folded convolutions of a released or a transformers state dict with batch norms that change nothing.

    float64 weights become float32.
    """
    restored: Arrays = {}
    for name, value in tensors.items():
        prefix = name.removesuffix(".weight")
        if _FOLDED.fullmatch(name):
            restored |= _restore(prefix, value, tensors[f"{prefix}.bias"])
        elif not (name.endswith(".bias") and _FOLDED.fullmatch(f"{name.removesuffix('.bias')}.weight")):
            restored[name] = value
    return restored


def _restore(prefix: str, weight: NDArray[Any], bias: NDArray[Any]) -> Arrays:
    if not prefix.endswith(_MIXER):
        return _write_identity(prefix, weight, bias)
    cancel = np.full_like(weight[:, :, :1, :1], -1)
    large, small = (f"{prefix}.{branch.rpartition('.')[2]}" for branch in _BRANCHES)
    return _write_identity(large, weight, bias) | _write_identity(small, cancel, np.zeros_like(bias))


def _write_identity(prefix: str, weight: NDArray[Any], bias: NDArray[Any]) -> Arrays:
    """Return a convolution and a batch norm that adds the bias alone."""
    dtype = np.dtype(np.float32) if weight.dtype == np.float64 else weight.dtype
    gain, norm = np.ones(bias.shape, dtype), f"{prefix}{_NORM}"
    return {
        f"{prefix}{_CONV}": weight.astype(dtype),
        f"{norm}weight": gain,
        f"{norm}bias": bias.astype(dtype),
        f"{norm}running_mean": np.zeros_like(gain),
        f"{norm}running_var": gain * _identity_variance(dtype),
        f"{norm}{_COUNT}": np.zeros((), np.int64),
    }

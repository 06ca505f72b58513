"""Wrappers of networks: the parts of tensor names that DDP, torch.compile, EMA, Lightning, PEFT and others add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from masklet.errors import CheckpointError

_COMPONENTS = frozenset(  # of SAM 2 and its relatives, in every layout of names
    {
        "image_encoder",
        "vision_encoder",
        "trunk",
        "sam_prompt_encoder",
        "prompt_encoder",
        "sam_mask_decoder",
        "mask_decoder",
        "memory_attention",
        "memory_encoder",
        "spatial_perceiver",
    }
)
_WRAPPERS = (  # attributes of DDP, torch.compile, FSDP, activation checkpointing and Lightning Fabric, at any depth
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
)
_COUNTERS = frozenset({"n_averaged", "initted", "step"})  # of torch.optim.swa_utils and of ema-pytorch
_PREFIXES = ("model.", "sam.")  # removed where no component tells which prefix to remove
_MAX_PREFIXES = 4

Value = TypeVar("Value")


class Unwrapped(NamedTuple):
    """Names without wrappers.

    Attributes:
        names: The new name of each entry; entries that belong to no network are left out.
        wrappers: What was removed, outermost first.
    """

    names: dict[str, str]
    wrappers: tuple[str, ...]


def unwrap(names: Iterable[str]) -> Unwrapped:
    """Remove wrappers from the names of a state dict.

    Of an averaged and a current network in one state dict, the averaged one remains.

    Raises:
        CheckpointError: `checkpoint-mismatch`. There are several networks, and none is an average.
    """
    found = [name for name in names if name not in _COUNTERS]
    short = {name: _drop_segments(name) for name in found}
    if len(set(short.values())) < len(short):
        short = {name: name for name in found}
    removed = [wrapper for wrapper in _WRAPPERS if any(wrapper in n.split(".") and short[n] != n for n in short)]
    prefixes = list(dict.fromkeys(prefix for name in short.values() if (prefix := _find_prefix(name)) is not None))
    prefix = _choose_prefix(prefixes) if prefixes else _find_common_prefix(short.values())
    others = tuple(other for other in prefixes if other not in ("", prefix) and prefix)
    renamed = {name: new.removeprefix(prefix) for name, new in short.items() if not (others and new.startswith(others))}
    return Unwrapped(renamed, (*removed, prefix.rstrip(".")) if prefix else tuple(removed))


def rename(values: Mapping[str, Value], unwrapped: Unwrapped) -> dict[str, Value]:
    """Return values under the names without wrappers."""
    return {new: values[old] for old, new in unwrapped.names.items()}


def _drop_segments(name: str) -> str:
    return ".".join(segment for segment in name.split(".") if segment not in _WRAPPERS)


def _find_prefix(name: str) -> str | None:
    """Return what stands before the first component in a name, or None if it has none."""
    segments = name.split(".")
    start = next((index for index, segment in enumerate(segments[:-1]) if segment in _COMPONENTS), None)
    return None if start is None else "".join(f"{segment}." for segment in segments[:start])


def _choose_prefix(prefixes: list[str]) -> str:
    averages = [prefix for prefix in prefixes if "ema" in prefix.lower()]
    candidates = averages or ([""] if "" in prefixes else prefixes)
    if len(candidates) == 1:
        return candidates[0]
    message = f"{len(candidates)} networks in one file: {', '.join(repr(prefix) for prefix in candidates[:5])}"
    raise CheckpointError("checkpoint-mismatch", f"{message}; save the state dict of one of them")


def _find_common_prefix(names: Iterable[str]) -> str:
    """Return the known prefixes that all names have."""
    remaining, common = list(names), ""
    for _ in range(_MAX_PREFIXES if remaining else 0):
        prefix = next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in remaining)), None)
        if prefix is None:
            break
        remaining, common = [name.removeprefix(prefix) for name in remaining], common + prefix
    return common

"""Description of a checkpoint for `masklet models info`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from masklet.config import ModelConfig

_LISTED = 3  # names of missing, extra and misshapen tensors
_FAMILIES = {"sam2.1": "SAM 2.1", "sam2": "SAM 2", "edgetam": "EdgeTAM", "efficienttam": "EfficientTAM"}


def describe_checkpoint(path: Path, variant: str | None = None, base: str | None = None) -> dict[str, Any]:
    """Describe a checkpoint file, a folder of transformers, or a LoRA adapter with its base.

    Args:
        path: The file or folder.
        variant: The variant of EfficientTAM; by default the name of the file decides.
        base: The base of an adapter; by default its configuration names it.

    Returns:
        The facts by name. `missing`, `extra` and `other shapes` count the tensors that do not fit the network and name
        the first ones as in the released checkpoints; None if all fit.

    Raises:
        MaskletError: It is no checkpoint of a known network; see `masklet.checkpoints.weights.read_merged`.
    """
    from masklet.checkpoints import key_names
    from masklet.checkpoints.variants import name_variant
    from masklet.checkpoints.weights import identify, read_merged

    checkpoint = read_merged(path, base)
    key_names.check_dtypes(checkpoint.tensors)
    config = identify(checkpoint, variant)
    counters = [f"{name} {count}" for name, count in checkpoint.counters.items()]
    return {
        "path": path,
        "family": _FAMILIES.get(config.name.split("-")[0], "masklet"),
        "architecture": config.name,
        "variant": name_variant(config),
        **_describe_file(path),
        "format": checkpoint.kind,
        "wrapping": " → ".join(checkpoint.wrapping) or None,
        "names": key_names.detect_layout(checkpoint.tensors),
        "training": ", ".join(counters) or None,
        "tensors": len(checkpoint.tensors),
        "parameters": checkpoint.parameter_count,
        "dtype": ", ".join(checkpoint.dtypes),
        **_compare_with_network(checkpoint.tensors, config),
        "size": config.input_size,
    }


def _describe_file(path: Path) -> dict[str, Any]:
    """Return the release, the size and the hash of a file; of a folder only the size of its tensors."""
    from masklet.checkpoints import hub
    from masklet.checkpoints.weight_folder import list_weight_files
    from masklet.files.hashing import sha256_of_file

    if path.is_dir():
        return {"release": None, "bytes": sum(file.stat().st_size for file in list_weight_files(path)), "sha256": None}
    digest = sha256_of_file(path)
    release = hub.find_release_by_hash(path, digest)
    return {"release": release.name if release else None, "bytes": path.stat().st_size, "sha256": digest}


def _compare_with_network(tensors: Mapping[str, Any], config: ModelConfig) -> dict[str, str | None]:
    from masklet.checkpoints.key_names import compare_entries, to_masklet
    from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes

    found = {name: value.shape for name, value in to_masklet(tensors).items()}
    problems = compare_entries(found, list_tensor_shapes(config))
    headings = {"missing": "missing", "extra": "unexpected", "other shapes": "of another shape"}
    return {heading: _list_names(problems[problem]) for heading, problem in headings.items()}


def _list_names(names: Sequence[str]) -> str | None:
    from masklet.checkpoints.key_names import join_released_names

    return f"{len(names)}: {join_released_names(names, _LISTED)}" if names else None

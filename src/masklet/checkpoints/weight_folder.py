"""Folders of weights: those of transformers, also in several files, and adapters of PEFT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from masklet.errors import CheckpointError
from masklet.files.open_input import open_input

ADAPTER_CONFIG = "adapter_config.json"
_INDEX = "model.safetensors.index.json"
_ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_MODEL_FILES = ("model.safetensors", "pytorch_model.bin")
_MAX_JSON_BYTES = 16 << 20
_MAX_SHARDS = 1000


def is_weight_folder(path: Path) -> bool:
    """Return whether a path is a folder of transformers or PEFT. An exported folder is none."""
    return any((path / name).is_file() for name in (ADAPTER_CONFIG, _INDEX, *_MODEL_FILES))


def list_weight_files(folder: Path) -> list[Path]:
    """List the files of a folder that contain its tensors.

    Raises:
        InputNotFound: The folder has none, or the index cannot be read.
        CheckpointError: `checkpoint-corrupt`. The index is malformed, or names a file outside the folder.
    """
    candidates = _ADAPTER_FILES if (folder / ADAPTER_CONFIG).is_file() else _MODEL_FILES
    if candidates is _MODEL_FILES and (folder / _INDEX).is_file():
        return _read_index(folder / _INDEX)
    return [next((folder / name for name in candidates if (folder / name).is_file()), folder / candidates[0])]


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        InputNotFound: The file cannot be read.
        CheckpointError: `checkpoint-corrupt`. It is not a JSON object, or too large.
    """
    with open_input(path) as handle:
        text = handle.read(_MAX_JSON_BYTES + 1)
    try:
        value = json.loads(text) if len(text) <= _MAX_JSON_BYTES else None
    except (ValueError, RecursionError) as cause:
        raise _make_error(path, f"it is not JSON: {str(cause)[:100]}") from cause
    if not isinstance(value, dict):
        raise _make_error(path, f"it is not a JSON object of at most {_MAX_JSON_BYTES} bytes")
    return value


def _read_index(path: Path) -> list[Path]:
    files = read_json_object(path).get("weight_map")
    names = sorted(set(files.values()) if isinstance(files, dict) and _are_texts(files.values()) else ())
    if not 0 < len(names) <= _MAX_SHARDS:
        raise _make_error(path, f"its weight_map must name 1 to {_MAX_SHARDS} files")
    for name in names:
        if Path(name).name != name or "\\" in name or ":" in name:
            raise _make_error(path, f"it names the file {name!r}, which is outside of the folder")
    return [path.with_name(name) for name in names]


def _are_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _make_error(path: Path, message: str) -> CheckpointError:
    return CheckpointError("checkpoint-corrupt", f"{path}: {message}", hint="download it again", path=str(path))

"""What an exported folder says of itself: `manifest.json`, and how a folder is read that may be anybody's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from masklet.config import ModelConfig, check_input_size
from masklet.errors import CheckpointError, InputNotFound
from masklet.files.hashing import sha256
from masklet.files.names import check_name
from masklet.files.open_input import open_input
from masklet.onnx_graphs import GRAPH_WRITERS, PRECISIONS
from masklet.onnx_graphs.inspection import inspect, read_limited

MANIFEST_NAME, TABLES_NAME = "manifest.json", "tables.safetensors"
FORMAT = "masklet-onnx-1"
IMAGE_MEAN, IMAGE_STD = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # of the pictures that the networks were trained on
_LARGEST = 1 << 20  # bytes of a manifest or of the tables


@dataclass(frozen=True, slots=True)
class Manifest:
    """An exported model. `graphs` are file names by verb; `sha256` has every file of the folder but the manifest."""

    config: ModelConfig
    input_size: int
    precision: str
    identity: str  # of the weights: the same for every export of them
    graphs: Mapping[str, str]
    sha256: Mapping[str, str]

    def to_json(self, tensors: Mapping[Any, Any], opset: int) -> str:
        """The manifest as JSON; `tensors` tell names, shapes and dtypes of each graph's inputs and outputs."""
        told = {
            "format": FORMAT,
            "model": self.config.to_fields(),
            "size": self.input_size,
            "precision": self.precision,
            "identity": self.identity,
            "opset": opset,
            "mean": IMAGE_MEAN,
            "std": IMAGE_STD,
            "graphs": {verb: {"file": name, **tensors[verb]} for verb, name in self.graphs.items()},
            "tables": TABLES_NAME,
            "sha256": dict(self.sha256),
        }
        return json.dumps(told, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class ExportedFolder:
    """An exported folder, open: each file is checked against the manifest when it is read."""

    path: Path
    manifest: Manifest

    def read_graph(self, verb: str) -> bytes:
        """A graph's file. Raises as `read_onnx`, and `CheckpointError` (`hash-mismatch`) if it is not as exported."""
        name = self.manifest.graphs[verb]
        content = self._checked(name, read_limited(self.path / name))
        inspect(content, str(self.path / name))
        return content

    def read_tables(self) -> dict[str, NDArray[np.float32]]:
        """The small tensors that are used between graphs: see `masklet.onnx_graphs.position_tables`."""
        try:
            found = load(self._checked(TABLES_NAME, _read(self.path / TABLES_NAME)))
        except (SafetensorError, KeyError) as cause:  # KeyError: numbers of a kind that NumPy has not
            raise _broken(self.path / TABLES_NAME, str(cause)) from cause
        channels = self.manifest.config.channels
        wanted = {
            "no_memory": (1, channels, 1, 1),
            "no_pointer": (1, channels),
            "mask_weight": (4, 4),
            "mask_bias": (1,),
        }
        if (shapes := {name: value.shape for name, value in found.items()}) != wanted:
            raise _broken(self.path / TABLES_NAME, f"it has {shapes}, not {wanted}")
        return {name: value.astype(np.float32) for name, value in found.items()}

    def _checked(self, name: str, content: bytes) -> bytes:
        if sha256(content) != self.manifest.sha256.get(name):
            raise CheckpointError(
                "hash-mismatch", f"{self.path / name}: not the file that was exported", hint="export the model again"
            )
        return content


def open_folder(path: Path) -> ExportedFolder:
    """The exported model in a folder. Raises `InputNotFound` or `CheckpointError` (`manifest-broken`)."""
    place = path / MANIFEST_NAME
    content = _read(place)
    try:
        told = json.loads(content)
        if told["format"] != FORMAT:
            raise ValueError(f"it is of format {told['format']!r}, not {FORMAT!r}")
        manifest = Manifest(
            config=ModelConfig.from_fields(told["model"]),
            input_size=check_input_size(told["size"]),
            precision=_precision(told["precision"]),
            identity=str(told["identity"]),
            graphs={verb: check_name(told["graphs"][verb]["file"], MANIFEST_NAME) for verb in GRAPH_WRITERS},
            sha256={str(name): str(digest) for name, digest in told["sha256"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as cause:
        raise _broken(place, f"{type(cause).__name__}: {cause}") from cause
    return ExportedFolder(path, manifest)


def _precision(name: Any) -> str:
    if not isinstance(name, str) or name not in PRECISIONS:
        raise ValueError(f"unknown precision {name!r}")
    return name


def _read(path: Path) -> bytes:
    if not path.exists():
        raise InputNotFound("input-not-found", f"{path}: no such file; is the folder an exported model?")
    with open_input(path) as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise _broken(path, f"over {_LARGEST} bytes are too many")
    return content


def _broken(path: Path, why: str) -> CheckpointError:
    return CheckpointError("manifest-broken", f"{path}: not an exported model: {why}", hint="export the model again")

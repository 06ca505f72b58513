"""Manifest of an exported folder, `manifest.json`, and reading of the folder. A folder is untrusted input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from masklet.backend import IMAGE_MEAN, IMAGE_STD
from masklet.config import MASK_STRIDE, TRUNKS, ModelConfig, check_input_size
from masklet.errors import CheckpointError, InputNotFound
from masklet.files.hashing import sha256
from masklet.files.names import check_name
from masklet.files.open_input import open_input
from masklet.onnx_graphs import GRAPH_WRITERS, LATER_GRAPHS, PRECISIONS, GraphName
from masklet.onnx_graphs.inspection import inspect, read_limited

MANIFEST_NAME, TABLES_NAME = "manifest.json", "tables.safetensors"
FORMAT = "masklet-onnx-1"
_MAX_BYTES = 1 << 20  # of the manifest, and of the tables
_EXAMPLE_CONFIG = ModelConfig("", 1, 1, (1, 1, 1, 1), ())
_LATER_FIELDS = ("trunk", "high_resolution", "latent_grid", "global_latents", "memory_pooling")  # with defaults


@dataclass(frozen=True, slots=True)
class Manifest:
    """Description of an exported model.

    Attributes:
        config: Configuration of the network.
        input_size: Side of the network's square in pixels.
        precision: A key of `masklet.onnx_graphs.PRECISIONS`.
        identity: Hash of the weights, the same for every export of them.
        graphs: File names by graph.
        sha256: SHA-256 by file name, of every file of the folder except the manifest.
    """

    config: ModelConfig
    input_size: int
    precision: str
    identity: str
    graphs: Mapping[GraphName, str]
    sha256: Mapping[str, str]

    def to_json(self, tensors: Mapping[Any, Any], opset: int) -> str:
        """Return the manifest as JSON.

        Args:
            tensors: `inputs` and `outputs` of each graph, as `describe_graph` lists them.
            opset: ONNX opset of the graphs.
        """
        content = {
            "format": FORMAT,
            "model": _config_to_json(self.config),
            "size": self.input_size,
            "precision": self.precision,
            "identity": self.identity,
            "opset": opset,
            "mean": IMAGE_MEAN,
            "std": IMAGE_STD,
            "graphs": {name: {"file": file, **tensors[name]} for name, file in self.graphs.items()},
            "tables": TABLES_NAME,
            "sha256": dict(self.sha256),
        }
        return json.dumps(content, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class ExportedFolder:
    """An exported folder. Each file is compared with the manifest's hash when it is read."""

    path: Path
    manifest: Manifest

    def read_graph(self, name: GraphName) -> bytes:
        """Read a graph's file and check that it is safe to load.

        Raises:
            InputNotFound: The file is missing.
            CheckpointError: The file is not the exported one (`hash-mismatch`), or is unsafe (see `read_onnx`).
        """
        file = self.manifest.graphs[name]
        content = self._check_hash(file, read_limited(self.path / file))
        inspect(content, str(self.path / file))
        return content

    def read_tables(self) -> dict[str, NDArray[np.float32]]:
        """Read the tables of `masklet.onnx_graphs.extract_tables`.

        Raises:
            InputNotFound: The file is missing.
            CheckpointError: The file is not the exported one (`hash-mismatch`), or malformed (`manifest-broken`).
        """
        content = self._check_hash(TABLES_NAME, _read(self.path / TABLES_NAME))
        try:
            tables = load(content)
        except (SafetensorError, KeyError, ValueError) as cause:  # also of a dtype or a shape that NumPy lacks
            raise _broken_error(self.path / TABLES_NAME, str(cause)) from cause
        channels = self.manifest.config.channels
        expected = {
            "no_memory": (1, channels, 1, 1),
            "no_pointer": (1, channels),
            "mask_weight": (MASK_STRIDE, MASK_STRIDE),
            "mask_bias": (1,),
        }
        if (shapes := {name: value.shape for name, value in tables.items()}) != expected:
            raise _broken_error(self.path / TABLES_NAME, f"it has {shapes}, not {expected}")
        return {name: value.astype(np.float32) for name, value in tables.items()}

    def _check_hash(self, name: str, content: bytes) -> bytes:
        if sha256(content) != self.manifest.sha256.get(name):
            message = f"{self.path / name}: not the file that was exported"
            raise CheckpointError("hash-mismatch", message, hint="export the model again")
        return content


def open_folder(path: Path) -> ExportedFolder:
    """Read the manifest of an exported folder.

    Raises:
        InputNotFound: The folder has no manifest.
        CheckpointError: The manifest is malformed or names files outside the folder (`manifest-broken`).
    """
    manifest_path = path / MANIFEST_NAME
    content = _read(manifest_path)
    try:
        values = json.loads(content)
        if values["format"] != FORMAT:
            raise ValueError(f"it is of format {values['format']!r}, not {FORMAT!r}")
        config = _config_from_json(values["model"])
        manifest = Manifest(
            config=config,
            input_size=check_input_size(values["size"], config),
            precision=_check_precision(values["precision"]),
            identity=str(values["identity"]),
            graphs={
                name: check_name(values["graphs"][name]["file"], MANIFEST_NAME)
                for name in GRAPH_WRITERS
                if name in values["graphs"] or name not in LATER_GRAPHS
            },
            sha256={str(name): str(digest) for name, digest in values["sha256"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as cause:
        raise _broken_error(manifest_path, f"{type(cause).__name__}: {cause}") from cause
    return ExportedFolder(path, manifest)


def _config_to_json(config: ModelConfig) -> dict[str, Any]:
    """Return the fields of a configuration. The key of the input size is `size`."""
    return {"size" if name == "input_size" else name: value for name, value in asdict(config).items()}


def _config_from_json(values: Mapping[str, Any]) -> ModelConfig:
    """Return the configuration with these fields; lists become tuples. Older manifests state no later fields."""
    example = _config_to_json(_EXAMPLE_CONFIG)
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in {**{name: example[name] for name in _LATER_FIELDS}, **values}.items()
    }
    types = {name: type(value) for name, value in example.items()}
    if fields.keys() != types.keys() or any(type(fields[name]) is not kind for name, kind in types.items()):
        raise ValueError("the fields of the model are incomplete, unknown or of the wrong type")
    if fields["trunk"] not in TRUNKS:
        raise ValueError(f"unknown trunk {fields['trunk']!r}")
    return ModelConfig(input_size=fields.pop("size"), **fields)


def _check_precision(name: Any) -> str:
    if not isinstance(name, str) or name not in PRECISIONS:
        raise ValueError(f"unknown precision {name!r}")
    return name


def _read(path: Path) -> bytes:
    if not path.exists():
        raise InputNotFound("input-not-found", f"{path}: no such file; pass a folder that `masklet export onnx` wrote")
    with open_input(path) as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise _broken_error(path, f"it is larger than {_MAX_BYTES} bytes")
    return content


def _broken_error(path: Path, reason: str) -> CheckpointError:
    return CheckpointError("manifest-broken", f"{path}: not an exported model: {reason}", hint="export the model again")

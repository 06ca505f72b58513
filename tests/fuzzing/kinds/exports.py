"""Exported folders: a graph of masklet's own, the manifest, and the tables with their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from fuzzing.canary import Canary
from fuzzing.kinds.graphs import ERRORS, check_graph, make_proto, mutate_fields
from fuzzing.mutation import mutate_json, mutate_safetensors
from fuzzing.target import Target, require
from masklet.backends.onnx.loader import load
from masklet.onnx_graphs import GRAPH_WRITERS, extract_tables, write_graph
from masklet.onnx_graphs.manifest import MANIFEST_NAME, TABLES_NAME, Manifest
from support.networks import make_model


def _check_folder(folder: Path) -> None:
    backend = load(folder)
    require(backend.input_size > 0, "the input size is not positive")


def write_folder(folder: Path) -> Path:
    """Write an exported folder with small files, each with its hash in the manifest. Returns the manifest."""

    folder.mkdir(exist_ok=True)
    model = make_model("sam2.1-micro")
    files = {f"{name}.onnx": make_proto().SerializeToString() for name in GRAPH_WRITERS}
    files[TABLES_NAME] = save({name: np.ascontiguousarray(one) for name, one in extract_tables(model.tensors).items()})
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    graphs = {name: f"{name}.onnx" for name in GRAPH_WRITERS}
    manifest = Manifest(model.config, 64, "fp32", "ab" * 32, graphs, hashes)
    tensors = {name: {"inputs": {}, "outputs": {}} for name in GRAPH_WRITERS}
    (folder / MANIFEST_NAME).write_text(manifest.to_json(tensors, 17))
    return folder / MANIFEST_NAME


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets."""
    path, canary = folder / "graph.onnx", Canary(folder / "canary.bin")
    network = write_graph("memorize", make_model("sam2.1-micro"))
    manifest = write_folder(folder / "export")
    tables, content = manifest.with_name(TABLES_NAME), manifest.read_text()
    sound = tables.read_bytes()

    def check_tables() -> None:
        description = json.loads(content)
        digest = hashlib.sha256(tables.read_bytes()).hexdigest()
        manifest.write_text(json.dumps({**description, "sha256": {**description["sha256"], TABLES_NAME: digest}}))
        _check_folder(manifest.parent)

    def check_manifest() -> None:
        tables.write_bytes(sound)
        _check_folder(manifest.parent)

    yield [
        Target("network", path, [network], partial(check_graph, path, canary), mutate_fields, ERRORS),
        Target("manifest", manifest, [content.encode()], check_manifest, mutate_json),
        Target("tables", tables, [sound], check_tables, mutate_safetensors),
    ]

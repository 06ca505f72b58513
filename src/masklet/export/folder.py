"""Writes a model as a folder: four graphs, the small tensors between them, and a manifest that vouches for them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from masklet.atomic import atomic_write
from masklet.checkpoints import read_tensors
from masklet.config import ModelConfig, check_size
from masklet.errors import ResourceError, SettingsError
from masklet.export import checking
from masklet.export.cost import Cost, measure
from masklet.export.ranges import seen_ranges
from masklet.graphs import VERBS, Verb, tables, write_graph
from masklet.graphs.graph import OPSET
from masklet.graphs.manifest import NAME, TABLES, Manifest
from masklet.graphs.rounding import Rounding
from masklet.graphs.shapes import expected_shapes
from masklet.model import weights
from masklet.onnx_backend import build, load
from masklet.releases import locate

PRECISIONS = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the folder, its manifest, and for int8 what that costs on the pictures that were given."""

    folder: Path
    manifest: Manifest
    costs: tuple[Cost, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """A model that is about to be exported."""

    config: ModelConfig
    tensors: Mapping[str, NDArray[Any]]  # by our names
    size: int


def export_onnx(
    model: str | Path,
    folder: Path,
    *,
    size: int | None = None,
    precision: str = "fp32",
    pictures: Sequence[Picture] = (),
    calibrate: bool = False,
) -> Exported:
    """Write the model of that name or file into `folder`, for pictures of `size`, as `masklet.load` opens it.

    `precision` is one of `PRECISIONS`. For int8 the weights of large layers are rounded to whole numbers; what flows
    between them is scaled anew for each picture, or with `calibrate` by what was seen in `pictures`, which is faster.
    What it costs is measured on the pictures, if there are any.

    The manifest is written last: a folder without one is not complete. Needs the package onnx, not PyTorch. Raises
    `InputNotFound`, `CheckpointError`, `SettingsError`, `BackendError` or `ResourceError`.
    """
    checking.require_onnx()
    if precision not in PRECISIONS:
        raise SettingsError("bad-usage", f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if calibrate and (precision != "int8" or not pictures):
        raise SettingsError("bad-usage", "only int8 is calibrated, and on at least one picture")
    network = read_network(model, size)
    graphs = _graphs(network, precision, pictures if calibrate else ())
    told: dict[str, Any] = {verb: checking.checked(verb, content) for verb, content in graphs.items()}
    manifest = _write(folder, network, precision, graphs, told)
    costs = (
        measure(build(network.config, network.tensors, size=network.size), load(folder), pictures)
        if precision == "int8" and pictures
        else ()
    )
    return Exported(folder, manifest, tuple(costs))


def read_network(model: str | Path, size: int | None) -> Network:
    """The checked weights of a model by name or file."""
    tensors = weights.to_ours(read_tensors(locate(model)))
    found = {name: value.shape for name, value in tensors.items()}
    config = weights.identify(found)
    weights.check(found, expected_shapes(config), config)
    return Network(config, tensors, check_size(size or config.size))


def _graphs(network: Network, precision: str, pictures: Sequence[Picture]) -> dict[Verb, bytes]:
    parts = network.config, network.tensors, network.size
    rounding = Rounding(seen_ranges(*parts, pictures)) if pictures else None
    return {verb: write_graph(verb, *parts, PRECISIONS[precision], rounding) for verb in VERBS}


def _write(
    folder: Path, network: Network, precision: str, graphs: Mapping[Verb, bytes], told: Mapping[str, Mapping[str, Any]]
) -> Manifest:
    """Every file whole or not at all, the manifest last."""
    files = {f"{verb}.onnx": content for verb, content in graphs.items()} | {TABLES: save(tables(network.tensors))}
    manifest = Manifest(
        config=network.config,
        size=network.size,
        precision=precision,
        identity=weights.identity(network.tensors),
        graphs={verb: f"{verb}.onnx" for verb in graphs},
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    write_files(folder, files | {NAME: manifest.text(told, OPSET).encode()})
    return manifest


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Files into a folder that is made if it is missing, in order."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise ResourceError("output-unwritable", f"{folder}: cannot be made: {cause.strerror}") from cause
    for name, content in files.items():
        with atomic_write(folder / name) as handle:
            handle.write(content)

"""Loading of exported folders, and backends built from weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from masklet.backends.onnx.backend import OnnxBackend, RuntimeInfo
from masklet.backends.onnx.other_exporters import open_other_export
from masklet.backends.onnx.session import Device, Session, parse_device
from masklet.checkpoints import key_names
from masklet.config import ModelConfig, check_input_size
from masklet.errors import SettingsError
from masklet.onnx_graphs import DTYPES, GRAPH_WRITERS, PRECISIONS, extract_tables, write_graph
from masklet.onnx_graphs.exported_model import ExportedModel
from masklet.onnx_graphs.manifest import MANIFEST_NAME, open_folder
from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes


def load(
    folder: Path, *, device: str | None = None, dtype: str | None = None, input_size: int | None = None
) -> OnnxBackend:
    """Open an exported folder: one of masklet's, or image graphs of a tool that `other_exporters` knows.

    Args:
        folder: The folder.
        device: A name of `DEVICE_TYPES`, with an optional index. Default: "cpu".
        dtype: The dtype that the folder was exported with, or None.
        input_size: The input size that the folder was exported with, or None.

    Returns:
        A backend whose graphs are loaded at their first use.

    Raises:
        InputNotFound: A file is missing.
        CheckpointError: A file is damaged or unsafe.
        SettingsError: `device` is unknown, or `dtype` or `input_size` differs from the export.
        ResourceError: The device is not available.
    """
    parsed = parse_device(device)
    backend = _open(folder, parsed) if (folder / MANIFEST_NAME).exists() else open_other_export(folder, parsed)
    settings = (("input_size", input_size, backend.input_size), ("dtype", dtype, backend.dtype))
    for name, requested, exported in settings:
        if requested is not None and requested != exported:
            raise SettingsError(
                "bad-usage",
                f"{folder}: was exported with {name} {exported} and cannot run with {requested}",
                hint=f"leave {name} out, or export the model again",
            )
    return backend


def _open(folder: Path, device: Device) -> OnnxBackend:
    """Open a folder that masklet exported."""
    exported = open_folder(folder)
    manifest = exported.manifest
    graphs = {
        name: Session(f"{folder}: {name}", partial(exported.read_graph, name), device) for name in manifest.graphs
    }
    runtime_info = RuntimeInfo(str(device), PRECISIONS[manifest.precision])
    tables = exported.read_tables()
    return OnnxBackend(manifest.config, manifest.input_size, manifest.identity, graphs, tables, runtime_info)


def build(
    config: ModelConfig,
    tensors: Mapping[str, NDArray[Any]],
    *,
    device: str | None = None,
    dtype: str | None = None,
    input_size: int | None = None,
) -> OnnxBackend:
    """Build a backend from weights. Each graph is written at its first use.

    Args:
        config: Configuration of the network.
        tensors: Weights by masklet's key names.
        device: A name of `DEVICE_TYPES`, with an optional index. Default: "cpu".
        dtype: One of `masklet.onnx_graphs.DTYPES`. Default: "float32".
        input_size: Side of the network's square in pixels. Default: the size that the weights were trained for.

    Returns:
        The backend.

    Raises:
        CheckpointError: The weights do not fit the configuration.
        SettingsError: `device`, `dtype` or `input_size` is invalid.
        ResourceError: The device is not available.
    """
    if dtype not in (None, *DTYPES):
        raise SettingsError("bad-dtype", f"without PyTorch dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    shapes = {name: value.shape for name, value in tensors.items()}
    key_names.check_entries(shapes, list_tensor_shapes(config), config)
    side, parsed = check_input_size(input_size or config.input_size, config), parse_device(device)
    model = ExportedModel(config, tensors, side)
    graphs = {
        name: Session(name, partial(write_graph, name, model, dtype or "float32"), parsed) for name in GRAPH_WRITERS
    }
    runtime_info = RuntimeInfo(str(parsed), dtype or "float32")
    identity = key_names.compute_identity(tensors, config.memory_pooling)
    return OnnxBackend(config, side, identity, graphs, extract_tables(tensors), runtime_info)

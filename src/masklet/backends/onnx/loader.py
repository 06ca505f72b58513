"""Opens exported folders, and builds backends from weights alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from masklet.backends.onnx.backend import OnnxBackend, RuntimeInfo
from masklet.backends.onnx.other_exporters import open_other_export
from masklet.backends.onnx.session import Session, parse_device
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
    """A backend over an exported folder: ours, or of pictures alone one of a tool that `foreign` knows.

    `dtype` and `size` are what it was exported with; others are refused. Raises `InputNotFound`, `CheckpointError`,
    `SettingsError` or `ResourceError`.
    """
    where = parse_device(device)
    if not (folder / MANIFEST_NAME).exists():
        backend = open_other_export(folder, where)
    else:
        opened = open_folder(folder)
        manifest = opened.manifest
        graphs = {verb: Session(f"{folder}: {verb}", partial(opened.read_graph, verb), where) for verb in GRAPH_WRITERS}
        running = RuntimeInfo(str(where), PRECISIONS[manifest.precision])
        backend = OnnxBackend(
            manifest.config, manifest.input_size, manifest.identity, graphs, opened.read_tables(), running
        )
    for name, wanted, found in (("size", input_size, backend.input_size), ("dtype", dtype, backend.dtype)):
        if wanted is not None and wanted != found:
            raise SettingsError(
                "bad-usage",
                f"{folder}: was exported with {name} {found} and cannot run with {wanted}",
                hint=f"leave {name} out, or export the model again",
            )
    return backend


def build(
    config: ModelConfig,
    tensors: Mapping[str, NDArray[Any]],
    *,
    device: str | None = None,
    dtype: str | None = None,
    input_size: int | None = None,
) -> OnnxBackend:
    """A backend with these weights (our names), whose graphs are written when they are first needed.

    `device` is one of `sessions.DEVICE_TYPES`, by default the processor; `dtype` one of `DTYPES`, by default float32; `size`
    the side of the square that pictures are resized to, by default the one the weights were trained for.
    """
    if dtype not in (None, *DTYPES):
        raise SettingsError("bad-dtype", f"without PyTorch dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    key_names.check_entries({name: value.shape for name, value in tensors.items()}, list_tensor_shapes(config), config)
    side, where = check_input_size(input_size or config.input_size), parse_device(device)
    network = ExportedModel(config, tensors, side)
    graphs = {
        verb: Session(verb, partial(write_graph, verb, network, dtype or "float32"), where) for verb in GRAPH_WRITERS
    }
    running = RuntimeInfo(str(where), dtype or "float32")
    return OnnxBackend(config, side, key_names.compute_identity(tensors), graphs, extract_tables(tensors), running)

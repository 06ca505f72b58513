"""Writes a model as a folder: four graphs, the small tensors between them, and a manifest that vouches for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from masklet.backends.onnx import build, load
from masklet.checkpoints import key_names, read_tensors
from masklet.checkpoints.hub import find_or_pull
from masklet.config import check_input_size
from masklet.errors import ResourceError, SettingsError
from masklet.export import verification
from masklet.export.calibration import measure_ranges
from masklet.export.layouts import LAYOUTS
from masklet.export.quantization_error import QuantizationError, measure_errors
from masklet.files.atomic import atomic_write, remove_partial_files
from masklet.files.hashing import sha256
from masklet.files.translate import translate_write_errors
from masklet.onnx_graphs import GRAPH_WRITERS, PRECISIONS, GraphName, extract_tables, write_graph
from masklet.onnx_graphs.builder import OPSET
from masklet.onnx_graphs.exported_model import ExportedModel
from masklet.onnx_graphs.manifest import MANIFEST_NAME, TABLES_NAME, Manifest
from masklet.onnx_graphs.quantization import Quantization
from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes

Picture = NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""`progress(done, total)` of the steps of an export."""


@dataclass(frozen=True, slots=True)
class QuantizationOptions:
    """What int8 is judged by, and with `calibrate` also rounded by."""

    images: Sequence[Picture] = ()
    calibrate: bool = False


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written, and for int8 what rounding costs on the pictures that were given."""

    files: tuple[Path, ...]
    quantization_errors: tuple[QuantizationError, ...] = ()


def read_model(model: str | Path, input_size: int | None = None) -> ExportedModel:
    """The checked weights of a model by name or file, for pictures of `size`, by default what they were trained for.

    Raises `InputNotFound`, `CheckpointError`, `SettingsError` or `ResourceError`.
    """
    tensors = key_names.to_masklet(read_tensors(find_or_pull(model)))
    found = {name: value.shape for name, value in tensors.items()}
    config = key_names.identify_config(found)
    key_names.check_entries(found, list_tensor_shapes(config), config)
    return ExportedModel(config, tensors, check_input_size(input_size or config.input_size))


def export_onnx(
    model: ExportedModel,
    folder: Path,
    precision: str = "fp32",
    *,
    quantization: QuantizationOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Write the four graphs of a network into `folder`, as `masklet.load` opens it.

    `precision` is one of `PRECISIONS`. For int8 the weights of large layers are rounded to whole numbers; what flows
    into them is scaled anew each time, or with a `quantization` that calibrates by what was seen in its pictures. What int8
    costs is measured on the pictures, if there are any.

    The manifest is written last: a folder without one is not complete. Needs neither PyTorch nor the package onnx;
    where that is installed, its checker has seen every graph. Raises `SettingsError` or `ResourceError`.
    """
    quantization = quantization or QuantizationOptions()
    if precision not in PRECISIONS:
        raise SettingsError("bad-usage", f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "int8" and (quantization.images or quantization.calibrate):
        raise SettingsError("bad-usage", f"only int8 is tried on pictures and calibrated by them, not {precision}")
    if quantization.calibrate and not quantization.images:
        raise SettingsError("bad-usage", "int8 is calibrated on at least one picture; give some")
    _make(folder, overwrite=overwrite)
    steps = _steps(len(GRAPH_WRITERS) + 1 + (len(GRAPH_WRITERS) + 1) * bool(quantization.images), progress)
    rounding = Quantization(measure_ranges(model, quantization.images)) if quantization.calibrate else None
    files = _write_model(model, folder, precision, rounding, steps)
    costs = tuple(cost for _, cost in zip(steps, _costs(model, folder, quantization.images), strict=True))
    return ExportResult(files, costs)


def _write_model(
    network: ExportedModel, folder: Path, precision: str, rounding: Quantization | None, steps: Iterator[None]
) -> tuple[Path, ...]:
    told: dict[GraphName, Any] = {}
    written: dict[str, str] = {}
    for verb in GRAPH_WRITERS:  # one at a time: they may be large
        next(steps)
        content = write_graph(verb, network, PRECISIONS[precision], rounding)
        told[verb] = verification.verify_graph(verb, content)
        written |= _write(folder, {f"{verb}.onnx": content})
    next(steps)
    written |= _write(folder, {TABLES_NAME: save(extract_tables(network.tensors))})
    written |= _write(folder, {MANIFEST_NAME: _manifest(network, precision, written).to_json(told, OPSET).encode()})
    return tuple(folder / name for name in written)


def _costs(network: ExportedModel, folder: Path, pictures: Sequence[Picture]) -> Iterator[QuantizationError]:
    """What rounding costs on the pictures; nothing is told without any."""
    if pictures:
        exact = build(network.config, network.tensors, input_size=network.input_size)
        yield from measure_errors(exact, load(folder), pictures)


def export_layout(model: ExportedModel, folder: Path, layout: str, *, overwrite: bool = False) -> ExportResult:
    """Write the picture graphs of a network into `folder` as another tool has them: one of `LAYOUTS`.

    Raises `SettingsError` or `ResourceError`.
    """
    if layout not in LAYOUTS:
        raise SettingsError("bad-usage", f"layout must be masklet, {', '.join(LAYOUTS)}, got {layout!r}")
    _make(folder, overwrite=overwrite)
    files = LAYOUTS[layout](model)
    for name, content in files.items():
        if name.endswith(".onnx"):
            verification.verify_graph(name, content)
    return ExportResult(tuple(folder / name for name in _write(folder, files)))


def _manifest(network: ExportedModel, precision: str, written: Mapping[str, str]) -> Manifest:
    return Manifest(
        config=network.config,
        input_size=network.input_size,
        precision=precision,
        identity=key_names.compute_identity(network.tensors),
        graphs={verb: f"{verb}.onnx" for verb in GRAPH_WRITERS},
        sha256=dict(written),
    )


def _steps(total: int, progress: Progress | None) -> Iterator[None]:
    """So many steps, each of which is told before it begins, and the end of the last one."""
    tell = progress or (lambda done, total: None)
    for done in range(total):
        tell(done, total)
        yield
    tell(total, total)


def _make(folder: Path, *, overwrite: bool) -> None:
    """An empty folder, or one that may be written over: its manifest goes first, since it will be wrong soon."""
    with translate_write_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise ResourceError("output-exists", f"{folder}: is a file; name a folder")
        if folder.exists() and any(folder.iterdir()) and not overwrite:
            message = f"{folder}: exists and is not empty"
            raise ResourceError("output-exists", message, hint="use --overwrite to replace it")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
    remove_partial_files(folder)


def _write(folder: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """Each file whole or not at all, in order; gives their SHA-256."""
    for name, content in files.items():
        with atomic_write(folder / name) as handle:
            handle.write(content)
    return {name: sha256(content) for name, content in files.items()}

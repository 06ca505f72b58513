"""Exported folders: writes the graphs, the tables between them, and a manifest with their hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import build, load
from masklet.checkpoints import key_names, write_tensors
from masklet.checkpoints.hub import find_or_pull
from masklet.checkpoints.weights import DEFAULT_WEIGHT_OPTIONS, WeightOptions, load_weights
from masklet.config import check_input_size
from masklet.errors import ResourceError, SettingsError
from masklet.export import verification
from masklet.export.calibration import calibrate
from masklet.export.layouts import LAYOUTS
from masklet.export.quantization_error import SAMPLED_GRAPHS, QuantizationError, measure_errors
from masklet.files.atomic import atomic_write, remove_partial_files
from masklet.files.error_translation import translate_write_errors
from masklet.files.hashing import sha256, sha256_of_file
from masklet.onnx_graphs import GRAPH_WRITERS, PRECISIONS, GraphName, extract_tables, write_graph
from masklet.onnx_graphs.builder import OPSET
from masklet.onnx_graphs.exported_model import ExportedModel
from masklet.onnx_graphs.manifest import MANIFEST_NAME, TABLES_NAME, Manifest
from masklet.onnx_graphs.quantization import Quantization
from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes

Image = NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""`progress(done, total)`, called with the number of finished steps."""


@dataclass(frozen=True, slots=True)
class QuantizationOptions:
    """Options of int8.

    Attributes:
        images: RGB images (H, W, 3) that the quantization error is measured on. Empty: it is not measured.
        calibrate: Scale activations by their ranges on `images`, instead of dynamically.
    """

    images: Sequence[Image] = ()
    calibrate: bool = False


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The files that were written and, for int8 with images, the quantization error of each graph."""

    files: tuple[Path, ...]
    quantization_errors: tuple[QuantizationError, ...] = ()


def read_model(
    model: str | Path, input_size: int | None = None, options: WeightOptions = DEFAULT_WEIGHT_OPTIONS
) -> ExportedModel:
    """Read and check the weights of a model.

    Args:
        model: Name of a model, a checkpoint file, or a folder of transformers or PEFT.
        input_size: Side of the network's square in pixels. Default: the size that the weights were trained for.
        options: Variant of EfficientTAM, and base of a LoRA adapter.

    Returns:
        The model, ready to export.

    Raises:
        InputNotFound: The file does not exist.
        CheckpointError: The file is damaged, or is not a checkpoint of SAM 2.
        SettingsError: The name or the input size is invalid.
        ResourceError: The model cannot be downloaded.
    """
    config, tensors = load_weights(find_or_pull(model), options)
    shapes = {name: value.shape for name, value in tensors.items()}
    key_names.check_entries(shapes, list_tensor_shapes(config), config)
    return ExportedModel(config, tensors, check_input_size(input_size or config.input_size, config))


def export_onnx(
    model: ExportedModel,
    folder: Path,
    precision: str = "fp32",
    *,
    quantization: QuantizationOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Write a model as a folder of ONNX graphs, which `masklet.load` opens.

    Neither PyTorch nor the package onnx is needed. If onnx is installed, its checker verifies every graph. The manifest
    is written last: a folder without one is incomplete.

    Args:
        model: The model.
        folder: The output folder, which is created if it does not exist.
        precision: One of `PRECISIONS`. "int8" quantizes the weights and inputs of large layers.
        quantization: Options of int8.
        overwrite: Write into a folder that is not empty.
        progress: Called before each step, and after the last.

    Returns:
        The files, and the quantization errors.

    Raises:
        SettingsError: `precision` is unknown, or `quantization` does not go with it.
        ResourceError: The folder is not empty (`output-exists`) or cannot be written.
    """
    quantization = quantization or QuantizationOptions()
    _check_options(precision, quantization)
    _prepare_folder(folder, overwrite=overwrite)
    steps = _count_steps(len(GRAPH_WRITERS) + 1 + (len(SAMPLED_GRAPHS) + 1) * bool(quantization.images), progress)
    calibrated = calibrate(model, quantization.images) if quantization.calibrate else None
    files = _write_model(model, folder, precision, calibrated, steps)
    errors = tuple(error for _, error in zip(steps, _measure_errors(model, folder, quantization.images), strict=True))
    return ExportResult(files, errors)


def _check_options(precision: str, quantization: QuantizationOptions) -> None:
    if precision not in PRECISIONS:
        raise SettingsError("bad-usage", f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "int8" and (quantization.images or quantization.calibrate):
        raise SettingsError("bad-usage", f"images and calibration are for int8 only, got precision {precision!r}")
    if quantization.calibrate and not quantization.images:
        raise SettingsError("bad-usage", "calibration needs at least one image, got none")


def _write_model(
    model: ExportedModel, folder: Path, precision: str, quantization: Quantization | None, steps: Iterator[None]
) -> tuple[Path, ...]:
    tensors: dict[GraphName, Any] = {}
    hashes: dict[str, str] = {}
    for name in GRAPH_WRITERS:  # one at a time, since a graph may be large
        next(steps)
        content = write_graph(name, model, PRECISIONS[precision], quantization)
        tensors[name] = verification.verify_graph(name, content)
        hashes |= _write_files(folder, {f"{name}.onnx": content})
    next(steps)
    write_tensors(folder / TABLES_NAME, extract_tables(model.tensors))
    hashes[TABLES_NAME] = sha256_of_file(folder / TABLES_NAME)
    manifest = _make_manifest(model, precision, hashes).to_json(tensors, OPSET)
    hashes |= _write_files(folder, {MANIFEST_NAME: manifest.encode()})
    return tuple(folder / name for name in hashes)


def _measure_errors(model: ExportedModel, folder: Path, images: Sequence[Image]) -> Iterator[QuantizationError]:
    """Measure the quantization error of the model in `folder`; yields nothing without images."""
    if images:
        exact = build(model.config, model.tensors, input_size=model.input_size)
        yield from measure_errors(exact, load(folder), images)


def export_layout(model: ExportedModel, folder: Path, layout: str, *, overwrite: bool = False) -> ExportResult:
    """Write the image graphs of a model in the layout of another tool.

    Args:
        model: The model.
        folder: The output folder, which is created if it does not exist.
        layout: One of `LAYOUTS`.
        overwrite: Write into a folder that is not empty.

    Returns:
        The files.

    Raises:
        SettingsError: `layout` is unknown, or the network lacks the features that other tools pass on.
        ResourceError: The folder is not empty (`output-exists`) or cannot be written.
    """
    if layout not in LAYOUTS:
        raise SettingsError("bad-usage", f"layout must be masklet, {', '.join(LAYOUTS)}, got {layout!r}")
    if not model.config.high_resolution:
        message = f"layout {layout} needs features at strides 4 and 8, which {model.config.name} does not have"
        raise SettingsError("bad-usage", message, hint="export it with --layout masklet")
    _prepare_folder(folder, overwrite=overwrite)
    files = LAYOUTS[layout](model)
    for name, content in files.items():
        if name.endswith(".onnx"):
            verification.verify_graph(name, content)
    return ExportResult(tuple(folder / name for name in _write_files(folder, files)))


def _make_manifest(model: ExportedModel, precision: str, hashes: Mapping[str, str]) -> Manifest:
    return Manifest(
        config=model.config,
        input_size=model.input_size,
        precision=precision,
        identity=key_names.compute_identity(model.tensors, model.config.memory_pooling),
        graphs={name: f"{name}.onnx" for name in GRAPH_WRITERS},
        sha256=dict(hashes),
    )


def _count_steps(total: int, progress: Progress | None) -> Iterator[None]:
    """Yield `total` times; report each step before it begins, and the end of the last one."""
    report = progress or (lambda done, total: None)
    for done in range(total):
        report(done, total)
        yield
    report(total, total)


def _prepare_folder(folder: Path, *, overwrite: bool) -> None:
    """Create the folder, or prepare to overwrite it by removing its manifest, which the new files would not match."""
    with translate_write_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise ResourceError("output-exists", f"{folder} is a file, not a folder", hint="choose another folder")
        if folder.exists() and any(folder.iterdir()) and not overwrite:
            message = f"{folder} exists and is not empty"
            raise ResourceError("output-exists", message, hint="--overwrite replaces it")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
    remove_partial_files(folder)


def _write_files(folder: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """Write files atomically, in order, and return their SHA-256 by name."""
    for name, content in files.items():
        with atomic_write(folder / name) as handle:
            handle.write(content)
    return {name: sha256(content) for name, content in files.items()}

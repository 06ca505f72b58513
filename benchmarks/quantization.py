"""Masks and time of int8 beside float32: IoU of the masks of both, IoU with the ground truth, time of `encode`.

The graph `encode` is calibrated on images that are spread evenly over the folder --calibrate. In the images of
--images, each object is prompted by a click at its deepest pixel and by its box. IoUs are means over objects. `encode`
is called in turn in float32 and int8; a ratio above 1 means that int8 is faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import OnnxBackend, Session, build
from masklet.datasets.layouts import open_images
from masklet.evaluate.click_simulator import simulate_box, simulate_click
from masklet.export import read_model
from masklet.export.calibration import calibrate
from masklet.images import read_image
from masklet.masks.iou import mask_iou
from masklet.onnx_graphs import write_graph
from masklet.onnx_graphs.exported_model import ExportedModel
from masklet.prompts import Prompt
from masklet.segmenter import Segmenter
from masklet.video.frame_folder import list_images
from masklet.views.view_fields import view_of_zoom

PROMPTS: dict[str, Callable[[NDArray[np.bool_]], Prompt | None]] = {"click": simulate_click, "box": simulate_box}
LOW_IOU = 0.9


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure each zoom and prompt and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench quantization", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--input-size", type=int)
    parser.add_argument("--calibrate", type=Path, required=True, help="folder of images")
    parser.add_argument("--count", type=int, default=24, help="number of images to calibrate on")
    parser.add_argument("--images", type=Path, required=True, help="annotated images")
    parser.add_argument("--zooms", default="0,2")
    parser.add_argument("--runs", type=int, default=60)
    options = parser.parse_args(arguments)
    model = read_model(options.model, options.input_size)
    backends = _build_backends(model, options.calibrate, options.count)
    times = _measure_times(model, *backends, options.runs)
    return [
        {"device": "cpu", "model": model.config.name, "size": model.input_size, "zoom": zoom, **times, **row}
        for zoom in map(float, options.zooms.split(","))
        for row in _compare(*backends, options.images, zoom)
    ]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("model", "model", "{}"),
        ("size", "size", "{}"),
        ("zoom", "zoom", "{:g}"),
        ("prompt", "prompt", "{}"),
        ("objects", "objects", "{}"),
        ("iou", "IoU of int8 with float32", "{:.3f}"),
        ("median_iou", "median", "{:.3f}"),
        ("low", f"below {LOW_IOU}, %", "{:.1f}"),
        ("float32_iou", "IoU of float32 with the ground truth", "{:.3f}"),
        ("int8_iou", "of int8", "{:.3f}"),
        ("float32_ms", "encode in float32, ms", "{:.1f}"),
        ("int8_ms", "in int8, ms", "{:.1f}"),
        ("ratio", "ratio", "{:.2f}"),
    ]


def _build_backends(model: ExportedModel, folder: Path, count: int) -> tuple[OnnxBackend, OnnxBackend]:
    """Return the model in float32, and the same with `encode` in int8."""
    paths = list_images(folder)
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    quantization = calibrate(model, [read_image(paths[index]) for index in chosen])
    exact = build(model.config, model.tensors, input_size=model.input_size)
    encode = Session("encode", lambda: write_graph("encode", model, "int8", quantization))
    graphs = {**exact.graphs, "encode": encode}
    return exact, OnnxBackend(exact.config, exact.input_size, exact.identity, graphs, exact.tables)


def _compare(exact: OnnxBackend, quantized: OnnxBackend, folder: Path, zoom: float) -> list[dict[str, Any]]:
    """Compare the masks of both models for each kind of prompt."""
    segmenters = [Segmenter(backend, view_of_zoom(zoom)) for backend in (exact, quantized)]
    results: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in PROMPTS}
    for item in open_images(folder):
        image, annotation = item.read()
        masks = np.stack([annotation.mask(object_id) for object_id in annotation.object_ids])
        images = [segmenter.embed(image) for segmenter in segmenters]
        for kind, make in PROMPTS.items():
            prompts = {number: make(mask) for number, mask in enumerate(masks, start=1)}
            given = {number: prompt for number, prompt in prompts.items() if prompt is not None}
            first, second = (image.predict(given).binary for image in images)
            rows = [masks[number - 1] for number in given]
            for pair in zip(first, second, rows, strict=True):
                results[kind].append((_iou(pair[0], pair[1]), _iou(pair[0], pair[2]), _iou(pair[1], pair[2])))
    return [_summarize(kind, np.array(values)) for kind, values in results.items()]


def _iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the IoU of two masks, 1 for two empty ones."""
    return 1.0 if not (first.any() or second.any()) else float(mask_iou(first[None], second[None])[0, 0])


def _summarize(kind: str, values: NDArray[np.float64]) -> dict[str, Any]:
    between, exact, quantized = values.T
    return {
        "prompt": kind,
        "objects": len(values),
        "iou": float(between.mean()),
        "median_iou": float(np.median(between)),
        "low": 100 * float((between < LOW_IOU).mean()),
        "float32_iou": float(exact.mean()),
        "int8_iou": float(quantized.mean()),
    }


def _measure_times(model: ExportedModel, exact: OnnxBackend, quantized: OnnxBackend, runs: int) -> dict[str, float]:
    """Measure `runs` pairs of calls of `encode` after one warm-up pair."""
    side = model.input_size
    images = np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32)
    graphs = [backend.graphs["encode"] for backend in (exact, quantized)]
    pairs = [[_measure_seconds(lambda graph=graph: graph(images=images)) for graph in graphs] for _ in range(runs + 1)]
    first, second = (1e3 * statistics.median(times) for times in zip(*pairs[1:], strict=True))
    ratio = statistics.median(before / after for before, after in pairs[1:])
    return {"float32_ms": first, "int8_ms": second, "ratio": ratio}


def _measure_seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

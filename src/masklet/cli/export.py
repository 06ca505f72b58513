"""`masklet export`: write a checkpoint as ONNX graphs, for masklet without PyTorch and other tools, or a project."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.cli import console, export_project
from masklet.cli.options import (
    Base,
    InputSize,
    Json,
    OldInputSize,
    Overwrite,
    Variant,
    locate_model,
    merge_input_sizes,
)
from masklet.config import LITE_SCALES, REPVIT_SCALES
from masklet.errors import SettingsError

if TYPE_CHECKING:
    from masklet.export import ExportResult
    from masklet.onnx_graphs.exported_model import ExportedModel

app = typer.Typer(help="Write a model as ONNX graphs, or the masks of a project.")
app.command("project")(export_project.project)


class Precision(str, Enum):
    """The number format of the graphs."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Layout(str, Enum):
    """The files that are written: those of masklet or of another tool."""

    MASKLET = "masklet"
    SAM2_ONNX = "sam2-onnx"
    SAMEXPORTER = "samexporter"
    AILIA = "ailia"


@app.command()
def onnx(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Model name (see `masklet models list`), checkpoint, folder, or hf:owner/name of the Hugging "
            "Face Hub.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Output folder, created if missing.")],
    input_size: InputSize = None,
    size: OldInputSize = None,
    variant: Variant = None,
    base: Base = None,
    precision: Annotated[
        Precision, typer.Option(help="fp16: half the file size, for GPUs. int8: quantize the weights of large layers.")
    ] = Precision.FP32,
    layout: Annotated[
        Layout,
        typer.Option(help="masklet: all graphs. Others: the image graphs with the file and tensor names of that tool."),
    ] = Layout.MASKLET,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            "--pictures", metavar="PATH", help="Image or folder of images to measure int8 on. Repeat it for more."
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="int8: fix the ranges of activations by the images. Default: at each run; not for EfficientNet-Lite.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write the graphs encode, attend, decode and memorize and a manifest. Every command takes DIR as its --model.

    Examples:

      masklet export onnx sam2.1-tiny tiny-512 --input-size 512

      masklet export onnx sam2.1-tiny tiny-int8 --precision int8 --pictures photographs

      masklet export onnx sam2.1-tiny labeling --layout samexporter
    """
    from masklet.checkpoints.weights import WeightOptions
    from masklet.export import export_layout, read_model

    side = merge_input_sizes(input_size, size)
    if layout is not Layout.MASKLET and (precision is not Precision.FP32 or images or calibrate):
        message = f"--layout {layout.value} supports only --precision fp32, without --pictures and --calibrate"
        raise SettingsError("bad-usage", message)
    exported = read_model(locate_model(model), side, WeightOptions(variant, base))
    if layout is Layout.MASKLET:
        result = _export(exported, folder, precision.value, images or [], calibrate=calibrate, overwrite=overwrite)
    else:
        console.say(f"writing {exported.config.name} at {exported.input_size} px in the layout of {layout.value}")
        result = export_layout(exported, folder, layout.value, overwrite=overwrite)
    record = _make_record(exported, result, precision.value, layout.value)
    if json:
        console.print_json(record)
    else:
        _print_record(record)


def _export(
    model: ExportedModel, folder: Path, precision: str, images: list[Path], *, calibrate: bool, overwrite: bool
) -> ExportResult:
    from masklet.export import QuantizationOptions, export_onnx
    from masklet.images import read_image

    quantization = QuantizationOptions([read_image(path) for path in _expand_folders(images)], calibrate)
    if precision == "int8" and model.config.trunk in REPVIT_SCALES:
        console.say(f"the trunk of {model.config.name} stays in float32")
    elif precision == "int8" and not calibrate and model.config.trunk in LITE_SCALES:
        console.say(f"the trunk of {model.config.name} stays in float32; --calibrate with --pictures quantizes it")
    title = f"writing {model.config.name} at {model.input_size} px in {precision}"
    with console.progress(title, unit="steps") as progress:
        return export_onnx(model, folder, precision, quantization=quantization, overwrite=overwrite, progress=progress)


def _expand_folders(paths: list[Path]) -> list[Path]:
    """Replace each folder by the images in it."""
    from masklet.video.frame_folder import list_images

    return [image for path in paths for image in (list_images(path) if path.is_dir() else [path])]


def _make_record(model: ExportedModel, result: ExportResult, precision: str, layout: str) -> dict[str, Any]:
    return {
        "model": model.config.name,
        "size": model.input_size,
        "precision": precision,
        "layout": layout,
        "files": {str(path): path.stat().st_size for path in result.files},
        "costs": [
            {"graph": error.graph, "mean_iou": error.mean_iou, "lowest_iou": error.lowest_iou}
            for error in result.quantization_errors
        ],
    }


def _print_record(record: dict[str, Any]) -> None:
    for path, size in record["files"].items():
        console.print_line(f"{path}  {size / 1e6:.1f} MB" if size >= 1e5 else f"{path}  {size / 1e3:.1f} kB")
    if record["costs"]:
        rows = [[cost["graph"], f"{cost['mean_iou']:.4f}", f"{cost['lowest_iou']:.4f}"] for cost in record["costs"]]
        console.print_table(["quantized", "mean IoU with fp32", "lowest"], rows)

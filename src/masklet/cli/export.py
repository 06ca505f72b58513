"""`masklet export`: a checkpoint in, ONNX graphs out, for masklet without PyTorch and for other tools."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.cli import console, options
from masklet.errors import SettingsError

if TYPE_CHECKING:
    from masklet.export import ExportResult
    from masklet.onnx_graphs.exported_model import ExportedModel

app = typer.Typer(help="Write a model as ONNX graphs.")


class Precision(str, Enum):
    """The numbers that graphs compute with."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Layout(str, Enum):
    """Whose files are written."""

    MASKLET = "masklet"
    SAM2_ONNX = "sam2-onnx"
    SAMEXPORTER = "samexporter"
    AILIA = "ailia"


@app.command()
def onnx(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name (see `masklet models list`) or checkpoint file.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write; made if missing.")],
    size: Annotated[int | None, typer.Option(help="Side of the square the graphs work on, a multiple of 32.")] = None,
    precision: Annotated[
        Precision, typer.Option(help="fp16: half the size, for GPUs. int8: large layers rounded.")
    ] = Precision.FP32,
    layout: Annotated[
        Layout, typer.Option(help="masklet: the whole system. The others: picture graphs as that tool names them.")
    ] = Layout.MASKLET,
    pictures: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A picture or a folder of them to measure int8 on; may repeat."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="int8: scale what flows by the pictures, not each time anew.")
    ] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Write the four graphs encode, attend, decode and memorize with a manifest; any command takes DIR as its --model.

    Examples:

      masklet export onnx sam2.1-tiny tiny-512 --size 512

      masklet export onnx sam2.1-tiny tiny-int8 --precision int8 --pictures photographs

      masklet export onnx sam2.1-tiny labeling --layout samexporter
    """
    from masklet.export import export_layout, read_model

    if layout is not Layout.MASKLET and (precision is not Precision.FP32 or pictures or calibrate):
        raise SettingsError("bad-usage", f"the layout {layout.value} is written in fp32 only, without pictures")
    network = read_model(options.located(model), size)
    if layout is Layout.MASKLET:
        exported = _export(network, folder, precision.value, pictures or [], calibrate=calibrate, overwrite=overwrite)
    else:
        console.say(f"writing {network.config.name} at {network.input_size} as {layout.value} names it")
        exported = export_layout(network, folder, layout.value, overwrite=overwrite)
    record = _record(network, exported, precision.value, layout.value)
    if json:
        console.print_json(record)
    else:
        _tell(record)


def _export(
    network: ExportedModel, folder: Path, precision: str, pictures: list[Path], *, calibrate: bool, overwrite: bool
) -> ExportResult:
    from masklet.export import QuantizationOptions, export_onnx
    from masklet.images import read_image

    trial = QuantizationOptions([read_image(path) for path in _found(pictures)], calibrate)
    with console.progress(
        f"writing {network.config.name} at {network.input_size} in {precision}", unit="steps"
    ) as progress:
        return export_onnx(network, folder, precision, quantization=trial, overwrite=overwrite, progress=progress)


def _found(paths: list[Path]) -> list[Path]:
    """Pictures, and those in folders."""
    from masklet.video.frame_folder import list_images

    return [picture for path in paths for picture in (list_images(path) if path.is_dir() else [path])]


def _record(network: ExportedModel, exported: ExportResult, precision: str, layout: str) -> dict[str, Any]:
    return {
        "model": network.config.name,
        "size": network.input_size,
        "precision": precision,
        "layout": layout,
        "files": {str(path): path.stat().st_size for path in exported.files},
        "costs": [cost._asdict() for cost in exported.quantization_errors],
    }


def _tell(record: dict[str, Any]) -> None:
    for path, size in record["files"].items():
        console.print_line(f"{path}  {size / 1e6:.1f} MB" if size >= 1e5 else f"{path}  {size / 1e3:.1f} kB")
    if record["costs"]:
        rows = [[cost["graph"], f"{cost['mean_iou']:.4f}", f"{cost['lowest_iou']:.4f}"] for cost in record["costs"]]
        console.print_table(["rounded", "mean IoU with fp32", "lowest"], rows)

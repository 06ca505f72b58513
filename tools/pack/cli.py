"""Commands of `python -m tools.pack`: build a pack, write its outlined photographs, add outlines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from masklet.cli.console import print_json, print_line, progress, say
from masklet.cli.main import run
from masklet.cli.options import Json, Overwrite, check_free
from masklet.synthetic.pack import INDEX, Pack, open_pack
from masklet.synthetic.rendering.render_cache import render_pack
from tools.pack.build_pack import build_pack
from tools.pack.outlines import OUTLINES_FILE, add_outlines, write_outlined_photographs

app = typer.Typer(
    help="Build packs of openly licensed images and meshes, and write their outlined photographs.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PackFolder = Annotated[Path, typer.Argument(metavar="PACK", help="Pack folder, built with `build`.")]


class Licenses(str, Enum):
    """Licenses that the assets of a pack may have."""

    STRICT = "strict"
    ALL = "all"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; errors are printed like those of `masklet`."""
    return run(app, "python -m tools.pack", arguments)


@app.command()
def build(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Pack folder to write.")],
    licenses: Annotated[
        Licenses,
        typer.Option(
            "--licenses",
            "--licences",
            help="Licenses of the assets. strict: public domain, MIT, BSD and CC BY. all: share-alike licenses too.",
        ),
    ] = Licenses.ALL,
    packages: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of package files. Missing ones are downloaded to it.")
    ] = Path("masklet-packages"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Build a pack from Debian and npm packages: cutouts, meshes, photographs, textures and their authors.

    Packages that are not in DIR are downloaded with apt-get and npm (1.7 GB in total). The meshes are rendered last.
    """
    check_free([output / INDEX], overwrite=overwrite, hint="--overwrite replaces the pack")
    pack = build_pack(output, licenses.value, packages, progress=lambda name, count: say(f"{name}: {count} assets"))
    with progress("rendering the meshes", unit="images") as report:
        render_pack(pack, progress=report)
    record = _describe(pack)
    if as_json:
        print_json(record)
    else:
        print_line(f"{output}: {len(pack.assets)} assets, {record['bytes'] / 1e6:.1f} MB")


@app.command()
def outlines(
    pack: PackFolder,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Dataset folder to write.")],
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Write the photographs held out for validation, not those for training.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the outlined photographs of a pack as a COCO dataset."""
    with progress("writing outlined photographs", unit="images") as report:
        images, objects = write_outlined_photographs(open_pack(pack), output, held_out=held_out, progress=report)
    if as_json:
        print_json({"path": output, "images": images, "objects": objects})
    else:
        print_line(f"{output}: {images} photographs, {objects} objects")


@app.command("add-outlines")
def add(
    proposals: Annotated[
        Path, typer.Argument(metavar="PROPOSALS", help="Folder of `masklet data propose` and `masklet data keep`.")
    ],
    pack: PackFolder,
    by: Annotated[str, typer.Option(metavar="MODEL", help="Model that proposed the masks.")] = "nano",
    as_json: Json = False,
) -> None:
    """Add the kept proposals for a pack's photographs to marks.json, the outlines in this repository."""
    images, objects = add_outlines(proposals, open_pack(pack), by=by)
    if as_json:
        print_json({"path": OUTLINES_FILE, "images": images, "objects": objects})
    else:
        print_line(f"{OUTLINES_FILE}: {images} photographs, {objects} objects added")


def _describe(pack: Pack) -> dict[str, Any]:
    return {
        "path": pack.root,
        "licences": pack.policy,
        "bytes": sum(asset.bytes for asset in pack.assets),
        "assets": len(pack.assets),
        "kinds": Counter(asset.kind for asset in pack.assets),
        "packages": Counter(asset.package for asset in pack.assets),
    }

"""`masklet data propose` and `keep`: masks that a model proposes, of which a person keeps those that are right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from masklet.cli import console, options
from masklet.cli.option_groups import expand_groups
from masklet.errors import MaskletError


@expand_groups
def propose(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="PICTURE… | FOLDER | PACK",
            help="Pictures, folders of them, or a pack: its photographs that nobody outlined.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("proposals"),
    marked: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Outlines file (marks.json). Photographs of a pack that it names are left out.",
        ),
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="At most so many proposals for a picture.")] = 16,
    model: options.ZoomModelOptions,
    json: options.Json = False,
) -> int:
    """Propose masks for pictures without any, to be looked at: OUT/sheets shows them, OUT/keep.txt takes what is right.

    Pictures that are in OUT already are left as they are, so a run that was stopped goes on, and more can be added.

    Examples:

      masklet data propose photographs --out proposals

      masklet data keep proposals

      masklet train nano-finetune --data proposals --out run
    """
    from masklet.files.json_fields import read_fields
    from masklet.files.outputs import output_exists
    from masklet.synthetic import proposals

    output_exists(out)  # raises for a folder that cannot be made
    outlined = read_fields(marked).names if marked else ()
    pictures = proposals.find_images(sources, outlined)
    proposals.read_keep_list(out)  # before anything is computed
    segmenter = model.load()
    records: list[dict[str, Any]] = []
    with console.progress("proposing", unit="images") as report:
        for done, picture in enumerate(pictures, start=1):
            try:
                count = proposals.write_proposals(out, picture, segmenter, most)
                records.append({"picture": picture.name, "proposals": count})
            except MaskletError as error:
                records.append(console.record_failed_image(picture.name, error, only=len(pictures) == 1))
            report(done, len(pictures))
    there = [record for record in records if "error" not in record]
    keep_list = proposals.extend_keep_list(out, [record["picture"] for record in there])
    if json:
        console.print_json({"path": out, "keep": keep_list, "pictures": records})
    else:
        count = sum(record["proposals"] for record in there)
        console.print_line(f"{out / proposals.SHEETS}: {len(there)} pictures, {count} proposals")
        console.say(f"write the numbers of those that are right into {keep_list}, then: masklet data keep {out}")
    return 0 if len(there) == len(records) else console.PARTLY_DONE


def keep(
    folder: Annotated[Path, typer.Argument(metavar="PROPOSALS", help="The folder of the proposals.")],
    json: options.Json = False,
) -> None:
    """Write the proposals that PROPOSALS/keep.txt names as a COCO data set, with their pictures."""
    from masklet.synthetic import proposals

    images, objects = proposals.write_kept_proposals(folder)
    if json:
        console.print_json({"path": folder, "images": images, "objects": objects})
    else:
        console.print_line(f"{folder}: {images} pictures, {objects} objects")

"""`masklet data propose` and `masklet data keep`: propose masks, and write the correct proposals as a dataset."""

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
            metavar="IMAGE… | FOLDER | PACK",
            help="Images, folders of images, or a pack, of which the photographs for training are taken.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Output folder, created if missing.")] = Path("proposals"),
    marked: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Outlines file, such as marks.json. Photographs of a pack that it names are left out."
        ),
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Number of proposals for an image at most.")] = 16,
    model: options.ZoomModelOptions,
    as_json: options.Json = False,
) -> int:
    """Propose masks for images without annotations. OUT/sheets shows them, OUT/keep.txt lists the correct ones.

    Images that are already in OUT are skipped, so the command resumes after an interrupt and can add images.

    Examples:

      masklet data propose photographs --out proposals

      masklet data keep proposals

      masklet train nano-finetune --data proposals --out run
    """
    from masklet.files.json_fields import read_fields
    from masklet.files.outputs import output_exists
    from masklet.synthetic import keep_list, proposals

    output_exists(out)  # raises if the folder cannot be made
    outlined = read_fields(marked).names if marked else ()
    images = proposals.find_images(sources, outlined)
    keep_list.read_keep_list(out)  # raises if the list is broken, before anything is computed
    segmenter = model.load()
    records: list[dict[str, Any]] = []
    with console.progress("proposing", unit="images") as report:
        for done, image in enumerate(images, start=1):
            try:
                count = proposals.write_proposals(out, image, segmenter, most)
                records.append({"picture": image.name, "proposals": count})
            except MaskletError as error:
                records.append(console.record_failed_image(image.name, error, only=len(images) == 1))
            report(done, len(images))
    finished = [record for record in records if "error" not in record]
    path = keep_list.extend_keep_list(out, [record["picture"] for record in finished])
    if as_json:
        console.print_json({"path": out, "keep": path, "pictures": records})
    else:
        count = sum(record["proposals"] for record in finished)
        console.print_line(f"{out / proposals.SHEETS}: {len(finished)} images, {count} proposals")
        console.say(f"write the numbers of the correct proposals into {path}, then run: masklet data keep {out}")
    return 0 if len(finished) == len(records) else console.PARTLY_DONE


def keep(
    folder: Annotated[Path, typer.Argument(metavar="PROPOSALS", help="Folder of proposals.")],
    as_json: options.Json = False,
) -> None:
    """Write the proposals that PROPOSALS/keep.txt lists as a COCO dataset with their images."""
    from masklet.synthetic import proposals

    images, objects = proposals.write_selected_proposals(folder)
    if as_json:
        console.print_json({"path": folder, "images": images, "objects": objects})
    else:
        console.print_line(f"{folder}: {images} images, {objects} objects")

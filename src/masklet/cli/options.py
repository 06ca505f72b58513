"""Options that several commands share, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masklet.cli.console import progress

if TYPE_CHECKING:
    from masklet.releases import Release

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


def located(model: str) -> Path:
    """The file that a model's name or path means, downloaded with a progress bar if need be."""
    from masklet.releases import RELEASES, locate, place

    release = RELEASES.get(model)
    if release is None or Path(model).exists() or place(release).exists():
        return locate(model)
    return fetched(release)


def fetched(release: Release, mirror: str | None = None) -> Path:
    """The file of a release that is not here yet, downloaded with a progress bar."""
    from masklet.releases import pull

    with progress(f"downloading {release.name} ({megabytes(release.size)})", unit="bytes") as report:
        return pull(release.name, report, mirror=mirror)


def megabytes(size: int) -> str:
    """`156 MB`."""
    return f"{size / 1e6:.0f} MB"

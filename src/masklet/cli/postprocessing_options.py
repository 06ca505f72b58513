"""Post-processing options: hole filling, small pieces and the non-overlap constraint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from masklet.masks.postprocessing import PostProcessing


@dataclass(eq=False, repr=False)
class HoleOptions:
    """Connected components that are filled or removed, as areas in pixels of the low-resolution mask."""

    holes: Annotated[
        int, typer.Option(metavar="AREA", help="Fill holes of at most AREA low-resolution pixels. 0: none.", min=0)
    ] = 0
    islands: Annotated[
        int, typer.Option(metavar="AREA", help="Remove pieces of at most AREA low-resolution pixels. 0: none.", min=0)
    ] = 0


@dataclass(eq=False, repr=False)
class PostProcessingOptions(HoleOptions):
    """Post-processing of the masks of a video."""

    non_overlapping: Annotated[
        bool, typer.Option("--apart", help="Assign each pixel to at most one object, the one with the highest logit.")
    ] = False
    in_memory: Annotated[
        bool,
        typer.Option(
            "--remember-cleaned",
            help="Store post-processed masks in the memory bank too. Default: post-process only the output.",
        ),
    ] = False

    def build(self) -> PostProcessing:
        """Return the post-processing of a tracker."""
        from masklet.masks.postprocessing import PostProcessing

        return PostProcessing(self.holes, self.islands, self.non_overlapping, self.in_memory)

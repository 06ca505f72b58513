"""Options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masklet.cli.console import progress
from masklet.errors import BackendError
from masklet.files.translate import translate_errors

if TYPE_CHECKING:
    from masklet.checkpoints.hub import Release
    from masklet.segmenter import Segmenter

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Model = Annotated[str, typer.Option(help="Name (see `masklet models list`), checkpoint file or exported folder.")]
Size = Annotated[int | None, typer.Option(help="Side of the square the network works on, a multiple of 32.")]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps, tensorrt, …; by default PyTorch's best, or cpu.")
]
Dtype = Annotated[
    str | None, typer.Option(help="float32, float16, on PyTorch bfloat16 or float64, on onnxruntime int8.")
]
Zoom = Annotated[
    float | None,
    typer.Option(help="Look at each object in a window so many times as long; by default 2 with nano, else 0: do not."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


def needing_torch(what: str, hint: str, modules: Sequence[str] = ("torch",)) -> AbstractContextManager[None]:
    """Imports of something that needs PyTorch; without it, `BackendError` (`backend-missing`) says so."""

    def translate(missing: ModuleNotFoundError) -> Exception:
        if missing.name not in modules:
            return missing
        return BackendError("backend-missing", f"{what} needs PyTorch, which is not installed", hint=hint)

    return translate_errors(ModuleNotFoundError, into=translate)


def loaded(
    model: str, *, size: int | None, device: str | None, dtype: str | None, zoom: float | None = None
) -> Segmenter:
    """The model that the options say, downloaded if need be."""
    from masklet.segmenter import load

    return load(located(model), size=size, device=device, dtype=dtype, zoom=zoom)


def located(model: str) -> Path:
    """The file that a model's name or path means, downloaded with a progress bar if need be."""
    from masklet.checkpoints.hub import find_release, locate, place

    release = find_release(model)
    if release is None or Path(model).exists() or place(release).exists():
        return locate(model)
    return fetched(release)


def fetched(release: Release, mirror: str | None = None) -> Path:
    """The file of a release that is not here yet, downloaded with a progress bar."""
    from masklet.checkpoints.hub import pull

    with progress(f"downloading {release.name} ({megabytes(release.size)})", unit="bytes") as report:
        return pull(release.name, report, mirror=mirror)


def megabytes(size: int) -> str:
    """`156 MB`."""
    return f"{size / 1e6:.0f} MB"

"""Options that several commands share: the model and how it runs, `--json` and `--overwrite`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masklet.cli.console import progress
from masklet.config import EMBEDDED_MODEL
from masklet.errors import BackendError, ResourceError, SettingsError
from masklet.files.error_translation import translate_errors

if TYPE_CHECKING:
    from masklet.checkpoints.releases import Release
    from masklet.segmenter import Segmenter

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
InputSize = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="Side of the network's square input, a multiple of 32. Default: the model's own, 1024 for released ones.",
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        metavar="plain|1|2|512x512", help="Variant of an EfficientTAM file. Default: the one in the file's name."
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH", help="Checkpoint that a LoRA adapter changes. Default: the one in its configuration."
    ),
]
OldInputSize = Annotated[int | None, typer.Option("--size", hidden=True)]  # old name of --input-size, until 0.3


@dataclass(eq=False, repr=False)
class ModelOptions:
    """The model of a command and how it runs. None leaves the choice to `masklet.load`."""

    model: Annotated[
        str,
        typer.Option(
            help="Model name (see `masklet models list`), checkpoint file, folder, or hf:owner/name of the Hugging "
            "Face Hub."
        ),
    ] = EMBEDDED_MODEL
    variant: Variant = None
    base: Base = None
    input_size: InputSize = None
    size: OldInputSize = None
    zoom: float | None = None
    memory: str | None = None
    device: Annotated[
        str | None,
        typer.Option(
            help="Device: cpu, cuda, cuda:1, mps, tensorrt, … Default: the fastest that PyTorch finds; "
            "cpu for exported folders and without PyTorch."
        ),
    ] = None
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Number format: float32, float16, also bfloat16 and float64 on PyTorch and int8 on onnxruntime. "
            "Default: float32."
        ),
    ] = None

    def __post_init__(self) -> None:
        self.input_size, self.size = merge_input_sizes(self.input_size, self.size), None

    def load(self, *, runtime: str | None = None) -> Segmenter:
        """Load the model; download it first if it is a released one that is missing."""
        from masklet.segmenter import load

        path = locate_model(self.model)
        return load(
            path,
            variant=self.variant,
            base=self.base,
            input_size=self.input_size,
            device=self.device,
            dtype=self.dtype,
            zoom=self.zoom,
            memory=self.memory,
            runtime=runtime,
        )


@dataclass(eq=False, repr=False)
class ZoomModelOptions(ModelOptions):
    """The model of a command with `--zoom`."""

    zoom: Annotated[
        float | None,
        typer.Option(
            help="Crop each object with a side of ZOOM × its size before prediction. 0 disables cropping. "
            "Default: 2 for nano, 0 for other models."
        ),
    ] = None


@dataclass(eq=False, repr=False)
class VideoModelOptions(ZoomModelOptions):
    """The model of a command on videos, with `--zoom` and `--memory`."""

    memory: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which memories a frame recalls: recent (as SAM 2), samurai, dam4sam or sam2long. Default: recent.",
        ),
    ] = None


def merge_input_sizes(input_size: int | None, size: int | None) -> int | None:
    """Return the value of `--input-size`, or that of its old name `--size`.

    Raises:
        SettingsError: `bad-usage` if both are given.
    """
    if input_size is not None and size is not None:
        message = f"--size is the old name of --input-size, got --size {size} and --input-size {input_size}"
        raise SettingsError("bad-usage", f"{message}; give --input-size only")
    return size if input_size is None else input_size


def parse_formats(text: str, known: Collection[str]) -> list[str]:
    """Return the names in the value of `--format`, each once.

    Raises:
        SettingsError: `bad-usage` if there is none, or one that is not in `known`.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        message = f"unknown format {(unknown or [text])[0]!r}; formats are {', '.join(known)}"
        raise SettingsError("bad-usage", message)
    return names


def check_free(
    paths: Iterable[Path], *, overwrite: bool, hint: str = "--overwrite replaces it, --out writes elsewhere"
) -> None:
    """Raise `ResourceError` (`output-exists`) if one of `paths` exists, unless `--overwrite` is given."""
    from masklet.files.outputs import output_exists

    for path in paths:
        if output_exists(path) and not overwrite:
            raise ResourceError("output-exists", f"{path} exists", hint=hint)


def translate_missing_torch(what: str, hint: str, modules: Sequence[str] = ("torch",)) -> AbstractContextManager[None]:
    """Raise `BackendError` (`backend-missing`) in place of a failed import of one of `modules`."""

    def translate(missing: ModuleNotFoundError) -> Exception:
        if missing.name not in modules:
            return missing
        return BackendError("backend-missing", f"{what} needs PyTorch, which is not installed", hint=hint)

    return translate_errors(ModuleNotFoundError, into=translate)


def locate_model(model: str) -> Path:
    """Return the file or folder of a model's name or path; download a missing release with a progress bar."""
    from masklet.checkpoints.hub import find_or_pull, find_release, get_release_path

    release = find_release(model)
    if release is None or Path(model).exists() or get_release_path(release).exists():
        return find_or_pull(model)
    return download_release(release)


def download_release(release: Release, mirror: str | None = None) -> Path:
    """Download the file of a release with a progress bar."""
    from masklet.checkpoints.hub import pull

    size = f" ({format_megabytes(release.size_bytes)})" if release.size_bytes else ""
    with progress(f"downloading {release.name}{size}", unit="bytes") as report:
        return pull(release.name, report, mirror=mirror)


def format_megabytes(size: int) -> str:
    """Format a number of bytes as `156 MB`."""
    return f"{size / 1e6:.0f} MB"

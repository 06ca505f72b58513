"""`masklet train`: train a network from nothing, or go on from weights, on packs and labelled data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from masklet.cli.console import print_json, print_line, say
from masklet.cli.options import located, needing_torch

if TYPE_CHECKING:
    from masklet.train.metrics_log import Line
    from masklet.train.settings import Settings
    from masklet.train.sources import Source
    from masklet.train.validation import Examples

EXAMPLES = 64  # of each set that quality is measured on


def train(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="Where the settings start; `list` shows them all.")],
    output: Annotated[Path | None, typer.Option("--out", metavar="RUN", help="The folder of the run.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH[=WEIGHT]", help="A pack's folder or an index of labelled pictures; may repeat."),
    ] = None,
    validate: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Measure quality here, before, during and after.")
    ] = None,
    retain: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The same for what fine-tuning must not forget.")
    ] = None,
    refused: Annotated[
        Path | None, typer.Option("--refuse", metavar="LIST", help="Stop if one of these files is in the data.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="How long to train by the clock.")] = None,
    settings: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Settings that differ from the preset's.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting, last word; may repeat.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, cuda:1, cpu, … By default the best there is.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that compose batches ahead.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Train a model; on many devices under `torchrun -m masklet train …`.

    The run's folder gets `weights.safetensors` (for `masklet.load`), `report.html`, a log, event files for TensorBoard,
    and `state.safetensors`, from which --resume goes on wherever the run was stopped.
    """
    _require_torch()
    from masklet.train.presets import PRESETS, resolve

    if preset == "list":
        for name, one in PRESETS.items():
            length = f"{one.steps} steps" if one.steps else f"{one.minutes:g} minutes"
            print_line(f"{name}  {one.model}, sizes {', '.join(map(str, one.sizes))}, {length}")
        return
    if output is None:
        raise typer.BadParameter("a run needs a folder: --out RUN")
    timed = [] if minutes is None else [f"minutes={minutes}", "steps=0"]
    chosen = resolve(preset, settings, [*timed, *(changes or ())])
    measured = {"validation": validate, "retention": retain}
    place = _Place(output, resume, device, workers)
    found = _run(chosen, place, _Data(data or [], refused), measured)
    print_json(found) if json else print_line(str(found["weights"]))


class _Data(NamedTuple):
    """What is trained on, and the list of files that must not be in it."""

    named: list[str]
    refused: Path | None


class _Place(NamedTuple):
    """Where a run is, and where it is done."""

    output: Path
    resume: bool
    device: str | None
    workers: int


def _run(settings: Settings, place: _Place, data: _Data, measured: dict[str, Path | None]) -> dict[str, Any]:
    from masklet.train import distributed, leakage_guard, loop
    from masklet.train.report import report
    from masklet.train.run_state import WEIGHTS
    from masklet.train.sources import open_mixture

    if settings.start:
        located(settings.start)
    with distributed.together(place.device) as own:
        mixture = open_mixture(data.named, settings.seed, leakage_guard.read(data.refused) if data.refused else ())
        validation = {name: _examples(path, settings) for name, path in measured.items() if path}
        run = loop.begin(settings, place.output, own, resume=place.resume)
        loop.train(run, mixture, _tell, validation=validation, workers=place.workers)
        if distributed.leads():
            with run.average.shown(run.model):
                report(place.output, settings, run.model, validation)
    return {"weights": place.output / WEIGHTS, "steps": run.progress.step, "seconds": round(run.progress.seconds, 1)}


def _examples(path: Path, settings: Settings) -> Examples:
    from masklet.train.sources import open_source
    from masklet.train.validation import examples

    source: Source = open_source(path, settings.seed, held_out=True)
    return examples(source.pictures(settings.sizes[-1], easy=False), EXAMPLES)


def _tell(line: Line) -> None:
    overlaps = " ".join("  – " if value is None else f"{value:.2f}" for value in line.overlaps)
    left = time.strftime("%H:%M:%S", time.gmtime(line.left))
    say(
        f"step {line.step}  {line.kind} {line.size} px  loss {line.loss:.3f}  IoU {overlaps}  "
        f"{line.samples_per_second:.1f}/s  {left} left"
    )


def _require_torch() -> None:
    with needing_torch("training", 'pip install "masklet[torch,train]"', modules=("torch", "tomli")):
        import masklet.train.loop  # noqa: F401

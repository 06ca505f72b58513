"""`masklet train`: train a network from scratch or fine-tune it, on packs and labeled data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from masklet.cli.console import print_json, print_line, say
from masklet.cli.options import Json, locate_model, translate_missing_torch
from masklet.errors import SettingsError

if TYPE_CHECKING:
    from masklet.train.metrics_log import StepMetrics
    from masklet.train.settings import Settings
    from masklet.train.sources import Source
    from masklet.train.validation import Examples

_MAX_EXAMPLES = 64  # per validation set


def train(
    preset: Annotated[
        str, typer.Argument(metavar="PRESET", help="Name of a preset of settings. `list` lists all presets.")
    ],
    output: Annotated[Path | None, typer.Option("--out", metavar="RUN", help="Folder of the run.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH[=WEIGHT]",
            help="Folder of a pack, or index of labeled images, with a sampling weight. Repeat it for more.",
        ),
    ] = None,
    validate: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Data to measure the quality on before, during and after training."),
    ] = None,
    retain: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Data like that of the original training, to measure what fine-tuning forgets."
        ),
    ] = None,
    refused: Annotated[
        Path | None,
        typer.Option("--refuse", metavar="LIST", help="List of files; training stops if one of them is in the data."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Training time in minutes, instead of a number of steps.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(metavar="TOML", help="File of settings that override the preset.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting that overrides preset and file. Repeat it for more."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in the folder.")] = False,
    device: Annotated[
        str | None, typer.Option(help="Device: cuda, cuda:1, cpu, … Default: the fastest that PyTorch finds.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Number of processes that prepare batches.")] = 1,
    json: Json = False,
) -> None:
    """Train a model. For several devices run `torchrun -m masklet train …`.

    The folder of the run gets `weights.safetensors` (for `masklet.load`), `report.html`, a log, event files for
    TensorBoard and `state.safetensors`, from which --resume continues. Ctrl-C, SIGTERM and SIGHUP end it after the
    step in progress and save it.
    """
    with _translate_missing_torch():
        from masklet.train.presets import PRESETS, resolve_settings

    if preset == "list":
        if json:
            print_json([{"name": name, "settings": asdict(values)} for name, values in PRESETS.items()])
            return
        for name, values in PRESETS.items():
            length = f"{values.steps} steps" if values.steps else f"{values.minutes:g} minutes"
            print_line(f"{name}  {values.model}, sizes {', '.join(map(str, values.input_sizes))}, {length}")
        return
    with _translate_missing_torch():
        import masklet.train.loop  # noqa: F401
    if output is None:
        raise SettingsError("bad-usage", "a run needs a folder; give --out RUN")
    time_settings = [] if minutes is None else [f"minutes={minutes}", "steps=0"]
    resolved = resolve_settings(preset, settings, [*time_settings, *(changes or ())])
    validation = {"validation": validate, "retention": retain}
    run_options = _RunOptions(output, resume, device, workers)
    result = _run(resolved, run_options, _Data(data or [], refused), validation)
    print_json(result) if json else print_line(str(result["weights"]))


class _Data(NamedTuple):
    """The training data, and the list of files that it must not contain."""

    sources: list[str]
    refused: Path | None


class _RunOptions(NamedTuple):
    """The folder of a run, its device and its processes."""

    output: Path
    resume: bool
    device: str | None
    workers: int


def _run(settings: Settings, options: _RunOptions, data: _Data, measured: dict[str, Path | None]) -> dict[str, Any]:
    from masklet.train import distributed, leakage_guard, loop
    from masklet.train.report import write_run_report
    from masklet.train.run_state import WEIGHTS_FILE
    from masklet.train.sources import open_mixture

    if settings.initial_weights:
        locate_model(settings.initial_weights)
    with distributed.join_processes(options.device) as process_device:
        mixture = open_mixture(
            data.sources, settings.seed, leakage_guard.read_list(data.refused) if data.refused else ()
        )
        validation = {name: _open_examples(path, settings) for name, path in measured.items() if path}
        with _hold_run(options):
            run = loop.begin_run(settings, options.output, process_device, resume=options.resume)
            loop.train(run, mixture, _print_progress, validation=validation, workers=options.workers)
            if distributed.is_main_process():
                with run.ema.apply_to(run.model):
                    write_run_report(options.output, settings, run.model, validation)
    return {
        "weights": options.output / WEIGHTS_FILE,
        "steps": run.progress.step,
        "seconds": round(run.progress.seconds, 1),
    }


@contextmanager
def _hold_run(options: _RunOptions) -> Iterator[None]:
    """Lock the folder of a run, remove unfinished files of killed processes, and say how to continue after a signal.

    Raises:
        StateError: `job-locked`. Another process trains in the folder.
    """
    from masklet.files.atomic import make_folder, remove_partial_files
    from masklet.files.error_translation import translate_write_errors
    from masklet.files.lock import Lock
    from masklet.files.outputs import output_exists
    from masklet.train import distributed

    if not distributed.is_main_process() or (options.resume and not output_exists(options.output)):
        yield
        return
    make_folder(options.output)
    with translate_write_errors(options.output):
        lock = Lock(options.output / "lock")
    with lock:
        remove_partial_files(options.output)
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if output_exists(options.output / "state.safetensors"):
                say("the run is saved; run the same command with --resume to continue")
            raise


def _open_examples(path: Path, settings: Settings) -> Examples:
    from masklet.train.sources import open_source
    from masklet.train.validation import load_examples

    source: Source = open_source(path, settings.seed, held_out=True)
    return load_examples(source.make_image_sampler(settings.input_sizes[-1], easy=False), _MAX_EXAMPLES)


def _print_progress(line: StepMetrics) -> None:
    ious = " ".join("  – " if value is None else f"{value:.2f}" for value in line.ious)
    remaining = time.strftime("%H:%M:%S", time.gmtime(line.remaining_seconds))
    say(
        f"step {line.step}  {line.kind} {line.size} px  loss {line.loss:.3f}  IoU {ious}  "
        f"{line.samples_per_second:.1f}/s  {remaining} left"
    )


def _translate_missing_torch() -> AbstractContextManager[None]:
    return translate_missing_torch("training", "pip install torch tomli", modules=("torch", "tomli"))

"""`masklet evaluate`: the field's own measures of a model on a data set, with a report that one can look at."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from enum import Enum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from masklet.cli import options
from masklet.cli.console import print_json, print_line, print_table, progress, say
from masklet.config import EMBEDDED_MODEL
from masklet.errors import ResourceError, SettingsError
from masklet.files.hashing import sha256

if TYPE_CHECKING:
    from masklet.datasets.dataset import Clips, Dataset
    from masklet.evaluate.aggregation import ObjectScores
    from masklet.evaluate.benchmarks import Benchmark
    from masklet.evaluate.predictions import PredictionFolder
    from masklet.evaluate.report import Report
    from masklet.evaluate.vos import FirstPrompt
    from masklet.segmenter import Segmenter

app = typer.Typer(help="Measure a model on a data set, by the field's own protocols.", no_args_is_help=True)

Record = TypeVar("Record")
Data = Annotated[Path, typer.Argument(metavar="DATA", help="A data set; its layout is recognised.", show_default=False)]
Split = Annotated[
    str | None, typer.Option(help="Which split, where there are several: val, valid_all_frames, 2016/val.")
]
Listing = Annotated[
    Path | None, typer.Option("--list", metavar="FILE", help="Only the names in this file, one a line.")
]
Sample = Annotated[int | None, typer.Option(min=1, help="Only so many, evenly spread over the data set, to try out.")]
Baselines = Annotated[bool, typer.Option("--baselines", help="Add what one gets without a network.")]
Out = Annotated[Path, typer.Option(help="Folder for report.html, report.md and report.json; made if missing.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes that score; by default one per core.")]
Rules = Annotated[str | None, typer.Option("--benchmark", help="Count as this one, if not as the layout's own.")]
Unseen = Annotated[Path | None, typer.Option(metavar="FILE", help="Names of unseen categories or clips, one a line.")]


class Mode(str, Enum):
    """How the simulated user works."""

    OFFLINE = "offline"
    ONLINE = "online"


@app.command()
def images(
    data: Data,
    prompts: Annotated[
        str, typer.Option(help="Of 1-click, 2-click, …, box and mask, joined by commas.")
    ] = "1-click,3-click,5-click,box,mask",
    baselines: Baselines = False,
    split: Split = None,
    listing: Listing = None,
    sample: Sample = None,
    model: options.Model = EMBEDDED_MODEL,
    size: options.Size = None,
    zoom: options.Zoom = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    out: Out = Path("evaluation"),
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Mean IoU after clicks, a box and a mask, and the clicks needed, on annotated pictures.

    Clicks are the deterministic ones of the SAM papers. Of clips, every annotated frame is a picture.
    """
    from masklet.datasets.layouts import open_images
    from masklet.evaluate.failure_cases import draw_worst_objects
    from masklet.evaluate.image_baselines import IMAGE_BASELINES
    from masklet.evaluate.image_protocol import PromptPlan, evaluate_image
    from masklet.evaluate.image_report import build_image_report
    from masklet.evaluate.report import format_count

    plan = PromptPlan.parse(prompts)
    chosen = _chosen(open_images(data, split), listing, sample)
    _require_free(out, overwrite=overwrite)
    segmenter = options.loaded(model, size=size, device=device, dtype=dtype, zoom=zoom)
    results = []
    with progress(format_count(len(chosen), "picture"), unit="images") as done:
        for number, record in enumerate(chosen, start=1):
            results += evaluate_image(segmenter, record, plan, IMAGE_BASELINES if baselines else None)
            done(number, len(chosen))
    if not results:
        raise SettingsError("bad-usage", f"{data}: no object in the {len(chosen)} chosen pictures; choose others")
    pictures = draw_worst_objects(segmenter, chosen, results, plan.names[0])
    facts = _facts(chosen, segmenter, model)
    _publish(build_image_report(_title("Pictures", chosen), facts, results, plan, pictures), out, json=json)


@app.command()
def vos(
    data: Data,
    prompt: Annotated[str, typer.Option(help="How an object is shown: mask, box, 1-click, 3-click, …")] = "mask",
    benchmark: Rules = None,
    unseen: Unseen = None,
    baselines: Baselines = False,
    split: Split = None,
    listing: Listing = None,
    sample: Sample = None,
    model: options.Model = EMBEDDED_MODEL,
    size: options.Size = None,
    zoom: options.Zoom = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    out: Out = Path("evaluation"),
    workers: Workers = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Show each object once, follow it through its clip, and score the masks.

    Answers are written to OUT/answers as the benchmark's server takes them. An interrupted run goes on where it was.
    Where the truth is not public, there is nothing to score: send the answers in.
    """
    from masklet.datasets.layouts import open_clips
    from masklet.evaluate.benchmarks import find_benchmark
    from masklet.evaluate.predictions import PredictionFolder
    from masklet.evaluate.score import has_public_ground_truth
    from masklet.evaluate.vos import PREDICTIONS, FirstPrompt

    how = FirstPrompt.parse(prompt)
    clips = _chosen(open_clips(data, split), listing, sample)
    rules = find_benchmark(benchmark or clips.kind)
    _require_free(out, overwrite=overwrite)
    segmenter = options.loaded(model, size=size, device=device, dtype=dtype, zoom=zoom)
    speed = _answer(segmenter, clips, how, rules, out, afresh=overwrite)
    facts = {**_facts(clips, segmenter, model), "prompt": how.name, "speed": speed}
    answers = PredictionFolder(out / PREDICTIONS)
    if has_public_ground_truth(clips):
        wishes = _Scoring(rules, out, workers, unseen, json, baselines)
        return _score(answers, clips, facts, wishes, (segmenter.config.name, how.name))
    where = f" to {rules.server}" if rules.server else ""
    say(f"the truth of {clips.kind} {clips.split} is not public, so nothing is scored; send the answers in{where}")
    return print_json({"answers": answers.root}) if json else print_line(str(answers.root))


@app.command()
def interactive(
    data: Data,
    mode: Annotated[Mode, typer.Option(help="offline: correct the worst frame; online: watch once.")] = Mode.OFFLINE,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Frames that are prompted, with 3 clicks each.")] = 8,
    split: Split = None,
    listing: Listing = None,
    sample: Sample = None,
    model: options.Model = EMBEDDED_MODEL,
    size: options.Size = None,
    zoom: options.Zoom = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    out: Out = Path("evaluation"),
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Let a simulated user click and correct: J&F against prompted frames, and the area under that curve."""
    from masklet.datasets.layouts import open_clips
    from masklet.evaluate.failure_cases import draw_worst_rounds
    from masklet.evaluate.interactive import evaluate_clip
    from masklet.evaluate.interactive_report import build_interactive_report
    from masklet.evaluate.report import format_count

    clips = _chosen(open_clips(data, split), listing, sample)
    _require_free(out, overwrite=overwrite)
    segmenter = options.loaded(model, size=size, device=device, dtype=dtype, zoom=zoom)
    results = []
    with progress(f"{format_count(len(clips), 'clip')}, {format_count(rounds, 'round')} each") as done:
        frames, total = count(1), rounds * sum(len(clip) for clip in clips)  # more where objects appear later
        for clip in clips:
            results += evaluate_clip(segmenter, clip, mode.value, rounds, on_frame=lambda: done(next(frames), total))
    facts, pictures = _facts(clips, segmenter, model), draw_worst_rounds(results, clips)
    _publish(
        build_interactive_report(_title("Interactive", clips), facts, results, mode.value, pictures), out, json=json
    )


@app.command()
def score(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="<clip>/<frame>.png, or <clip>/<object>/<frame>.png.")
    ],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="A data set, or true masks laid out like RESULTS.")],
    benchmark: Rules = None,
    unseen: Unseen = None,
    baselines: Baselines = False,
    split: Split = None,
    listing: Listing = None,
    out: Out = Path("evaluation"),
    workers: Workers = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """J, F, J&F, recall and decay of anybody's masks, as the benchmark averages them."""
    from masklet.datasets.layouts import open_truth
    from masklet.evaluate.benchmarks import find_benchmark
    from masklet.evaluate.predictions import PredictionFolder

    clips = _chosen(open_truth(truth, split), listing, None)
    rules = find_benchmark(benchmark or clips.kind)
    _require_free(out, overwrite=overwrite)
    facts = {**_facts(clips), "results": str(results)}
    _score(PredictionFolder(results), clips, facts, _Scoring(rules, out, workers, unseen, json, baselines))


@dataclass(frozen=True, slots=True)
class _Scoring:
    """What is wished for when answers are scored."""

    rules: Benchmark
    out: Path
    workers: int | None
    unseen: Path | None
    json: bool
    baselines: bool


def _answer(segmenter: Segmenter, clips: Clips, how: FirstPrompt, rules: Benchmark, out: Path, *, afresh: bool) -> str:
    """Answer the clips that are not answered yet; says how fast that went."""
    from masklet.evaluate.predictions import PredictionFolder
    from masklet.evaluate.report import HTML_FILE, JSON_FILE, MARKDOWN_FILE, format_count
    from masklet.evaluate.vos import PREDICTIONS, predict_clips

    total = sum(len(clip) for clip in clips)
    left = total - sum(
        len(clip) for clip in clips if not afresh and PredictionFolder(out / PREDICTIONS).has_clip(clip.name)
    )
    frames, start = 0, time.perf_counter()
    with progress(f"{format_count(len(clips), 'clip')}, {left} of {total} frames to answer") as done:
        for frames in predict_clips(segmenter, clips, how, out, rules.layout, restart=afresh):
            if frames == 1:  # nobody else works there
                for name in (HTML_FILE, MARKDOWN_FILE, JSON_FILE):  # an old report would be in the way of going on
                    (out / name).unlink(missing_ok=True)
            done(frames, left)
    speed = frames / (time.perf_counter() - start)
    return f"{speed:.1f} frames a second with prompts and files, over {frames} of {total} frames in this run"


def _score(
    answers: PredictionFolder,
    clips: Clips,
    facts: dict[str, str],
    wishes: _Scoring,
    asked: tuple[str, str] | None = None,
) -> None:
    """Score the answers and publish the report; `asked` are model and prompt, to find a published row."""
    from masklet.datasets.frame_folders import read_list
    from masklet.evaluate.failure_cases import draw_worst_frames
    from masklet.evaluate.published_results import find_published_scores
    from masklet.evaluate.report import format_count
    from masklet.evaluate.score import score_clips as scored
    from masklet.evaluate.static_masks import BASELINE_NAME, StaticMasks
    from masklet.evaluate.vos_report import build_vos_report

    scores: list[ObjectScores] = []
    workers = min(wishes.workers or _cores(), len(clips))
    with progress(
        f"scoring {format_count(len(clips), 'clip')} with {format_count(workers, 'core')}", unit="clips"
    ) as done:
        for number, found in enumerate(scored(answers, clips, wishes.rules, workers=workers), start=1):
            scores += found
            done(number, len(clips))
    if not scores:
        raise SettingsError("bad-usage", f"{clips.root}: no object has frames that count as {wishes.rules.name}")
    unseen = clips.unseen if wishes.unseen is None else frozenset(read_list(wishes.unseen))
    row = find_published_scores(clips.kind, clips.split, *asked) if asked else None
    pictures = draw_worst_frames(scores, clips, answers)
    beside = {}
    if wishes.baselines:
        beside[BASELINE_NAME] = [
            one for found in scored(StaticMasks(clips), clips, wishes.rules, workers=workers) for one in found
        ]
    report = build_vos_report(_title("Clips", clips), facts, scores, wishes.rules, unseen, row, pictures, beside)
    _publish(report, wishes.out, json=wishes.json)


def _chosen(data: Dataset[Record], listing: Path | None, sample: int | None) -> Dataset[Record]:
    """The part of a data set that was asked for."""
    from masklet.datasets.frame_folders import read_list

    chosen = data if listing is None else data.only(read_list(listing))
    if sample is None or sample >= len(chosen):
        return chosen
    return chosen.only(chosen.names[k * len(chosen) // sample] for k in range(sample))


def _facts(data: Dataset[Any], segmenter: Segmenter | None = None, model: str = "") -> dict[str, str]:
    """The head of a report. The hash is of the names, so that two runs can be known to be of the same ones."""
    from masklet.evaluate.provenance import collect_model_facts, collect_run_facts

    names = sha256("\n".join(sorted(data.names)).encode())[:12]
    about = {"data": f"{data.kind} {data.split}, {len(data)} by name (names {names})", "licence": data.licence}
    return {**about, **(collect_model_facts(segmenter, model) if segmenter else {}), **collect_run_facts()}


def _title(what: str, data: Dataset[Any]) -> str:
    """Your own folders are called by their name, data sets of others by theirs and the split's."""
    own = data.kind in ("folder", "clips")
    return f"{what}: {data.split}" if own else f"{what}: {data.kind} {data.split}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _require_free(out: Path, *, overwrite: bool) -> None:
    """Raises `ResourceError` where a report would be written over, or none can be written."""
    from masklet.evaluate.report import HTML_FILE
    from masklet.files.atomic import make_folder
    from masklet.files.outputs import output_exists

    if output_exists(out / HTML_FILE) and not overwrite:
        raise ResourceError(
            "output-exists", f"{out} holds a report", hint="--overwrite replaces it, --out writes elsewhere"
        )
    make_folder(out)


def _publish(report: Report, out: Path, *, json: bool) -> None:
    """Write the report and show its first table."""
    from masklet.evaluate.report import HTML_FILE, write_report

    write_report(report, out)
    if json:
        numbers = {key: value for key, value in report.numbers.items() if key != "objects"}
        return print_json({"report": out / HTML_FILE, "facts": dict(report.facts), **numbers})
    print_table(report.tables[0].header, report.tables[0].rows)
    return say(f"report: {out / HTML_FILE}")

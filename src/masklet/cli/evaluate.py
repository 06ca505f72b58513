"""`masklet evaluate`: the metrics of a model on a dataset, with a report in HTML, Markdown and JSON."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from masklet.cli.console import print_json, print_line, print_table, progress, say
from masklet.cli.mask_generator_options import MaskGeneratorArguments
from masklet.cli.option_groups import expand_groups
from masklet.cli.options import Json, ModelOptions, Overwrite, VideoModelOptions, ZoomModelOptions
from masklet.errors import ResourceError, SettingsError

if TYPE_CHECKING:
    from masklet.datasets.dataset import AnnotatedImage, Clips, Dataset, Images
    from masklet.evaluate.aggregation import ObjectScores
    from masklet.evaluate.benchmarks import Benchmark
    from masklet.evaluate.click_protocol import FixedClicks
    from masklet.evaluate.predictions import PredictionFolder
    from masklet.evaluate.report import Report
    from masklet.evaluate.vos import FirstPrompt
    from masklet.segmenter import Segmenter

app = typer.Typer(
    help="Evaluate a model on a dataset with the protocols of SAM 2 and the benchmarks.", no_args_is_help=True
)

Record = TypeVar("Record")
Result = TypeVar("Result")
Baselines = Annotated[bool, typer.Option("--baselines", help="Add baselines that need no network.")]
Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Dataset folder. Its layout is detected.", show_default=False)
]


@dataclass(eq=False, repr=False)
class SelectionOptions:
    """Selection of the images or clips to evaluate."""

    split: Annotated[
        str | None, typer.Option(help="Split of the dataset, such as val, valid_all_frames or 2016/val.")
    ] = None
    listing: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="Evaluate only the names in this file, one per line.")
    ] = None
    sample: int | None = None

    def select(self, data: Dataset[Record]) -> Dataset[Record]:
        """Return the selected part of a dataset."""
        from masklet.datasets.frame_folders import read_list

        listed = data if self.listing is None else data.select(read_list(self.listing))
        if self.sample is None or self.sample >= len(listed):
            return listed
        return listed.select(listed.names[k * len(listed) // self.sample] for k in range(self.sample))


@dataclass(eq=False, repr=False)
class SampleOptions(SelectionOptions):
    """Selection of the images or clips to evaluate, with `--sample`."""

    sample: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Evaluate only N images or clips, evenly spaced.")
    ] = None


@dataclass(eq=False, repr=False)
class ReportOptions:
    """Folder and output of the report."""

    out: Annotated[
        Path, typer.Option(help="Folder for report.html, report.md and report.json, created if missing.")
    ] = Path("evaluation")
    overwrite: Overwrite = False
    json: Json = False

    def prepare(self) -> None:
        """Create the folder. Raises `ResourceError` if it has a report that must not be replaced."""
        from masklet.evaluate.report import HTML_FILE
        from masklet.files.atomic import make_folder
        from masklet.files.outputs import output_exists

        if output_exists(self.out / HTML_FILE) and not self.overwrite:
            hint = "--overwrite replaces it, --out writes elsewhere"
            raise ResourceError("output-exists", f"{self.out} contains a report", hint=hint)
        make_folder(self.out)

    def publish(self, report: Report) -> None:
        """Write the report and print its first table, or with `json` its numbers."""
        from masklet.evaluate.report import HTML_FILE, write_report

        write_report(report, self.out)
        if self.json:
            numbers = {key: value for key, value in report.numbers.items() if key != "objects"}
            return print_json({"report": self.out / HTML_FILE, "facts": dict(report.facts), **numbers})
        print_table(report.tables[0].header, report.tables[0].rows)
        return say(f"report: {self.out / HTML_FILE}")


@dataclass(eq=False, repr=False)
class ScoringOptions:
    """Scoring of predictions."""

    benchmark: Annotated[
        str | None, typer.Option(help="Benchmark whose rules apply. Default: that of the dataset's layout.")
    ] = None
    unseen: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names of unseen categories or clips, one per line.")
    ] = None
    baselines: Baselines = False
    workers: Annotated[int | None, typer.Option(min=1, help="Number of scoring processes. Default: one per core.")] = (
        None
    )


class Mode(str, Enum):
    """The protocol of the simulated user."""

    OFFLINE = "offline"
    ONLINE = "online"


@app.command()
@expand_groups
def images(
    data: Data,
    *,
    prompts: Annotated[
        str, typer.Option(help="Prompts, separated by commas: 1-click, 2-click, …, box, mask.")
    ] = "1-click,3-click,5-click,box,mask",
    baselines: Baselines = False,
    selection: SampleOptions,
    model: ZoomModelOptions,
    report: ReportOptions,
) -> None:
    """Measure the mean IoU after clicks, a box and a mask, and the number of clicks needed, on annotated images.

    Clicks are simulated deterministically as in the SAM papers. In clips, every annotated frame is an image.
    """
    from masklet.datasets.layouts import open_images
    from masklet.evaluate.failure_cases import draw_worst_objects
    from masklet.evaluate.image_baselines import IMAGE_BASELINES
    from masklet.evaluate.image_protocol import PromptPlan, evaluate_image
    from masklet.evaluate.image_report import build_image_report

    plan = PromptPlan.parse(prompts)
    dataset = selection.select(open_images(data, selection.split))
    report.prepare()
    segmenter = model.load()
    added = IMAGE_BASELINES if baselines else None
    results = _evaluate_images(dataset, lambda record: evaluate_image(segmenter, record, plan, added))
    if not results:
        raise _no_objects(data, dataset)
    failures = draw_worst_objects(segmenter, dataset, results, plan.names[0])
    facts = _collect_facts(dataset, segmenter, model.model)
    report.publish(build_image_report(_make_title("Images", dataset), facts, results, plan, failures))


@app.command()
@expand_groups
def clicks(
    data: Data,
    *,
    random: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1000, help="Random clicks on each object.", show_default="10"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random clicks.")] = 0,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--clicks", metavar="FILE.json", help="Clicks to use instead: a prompt file with one click in each entry."
        ),
    ] = None,
    selection: SampleOptions,
    model: ZoomModelOptions,
    report: ReportOptions,
) -> None:
    """Measure the IoU of lone clicks, at random pixels of each object or at given positions, on annotated images.

    A prompt file is that of `masklet segment`: {"prompts": [{"image": NAME, "object": ID, "points": [[X, Y, 1]]}]}.
    Only the objects in it are evaluated.
    """
    from masklet.datasets.layouts import open_images
    from masklet.evaluate.click_protocol import ClickSource, RandomClicks, evaluate_clicks
    from masklet.evaluate.click_report import build_click_report
    from masklet.evaluate.failure_cases import draw_worst_clicks

    dataset = selection.select(open_images(data, selection.split))
    source: ClickSource
    if prompts is None:
        source = RandomClicks(10 if random is None else random, seed)
        described = f"{source.count} at random pixels of each object, seed {seed}"
    else:
        if random is not None:
            raise SettingsError("bad-usage", f"--clicks {prompts} replaces --random {random}; give one of them")
        source, dataset = _read_clicks(prompts, dataset)
        described = f"read from {prompts.name}"
    report.prepare()
    segmenter = model.load()
    results = _evaluate_images(dataset, lambda record: evaluate_clicks(segmenter, record, source))
    if not results:
        raise _no_objects(data, dataset)
    failures = draw_worst_clicks(segmenter, dataset, results)
    facts = {**_collect_facts(dataset, segmenter, model.model), "positions": described}
    report.publish(build_click_report(_make_title("Clicks", dataset), facts, results, failures))


@app.command()
@expand_groups
def everything(
    data: Data,
    *,
    generator: MaskGeneratorArguments,
    selection: SampleOptions,
    model: ModelOptions,
    report: ReportOptions,
) -> None:
    """Measure how many objects of annotated images the mask generator finds, and how its predicted IoU ranks masks."""
    from masklet.datasets.layouts import open_images
    from masklet.evaluate.failure_cases import draw_missed_objects
    from masklet.evaluate.generator_protocol import MIN_AREA_PX, evaluate_generator
    from masklet.evaluate.generator_report import build_generator_report

    options = generator.parse()
    dataset = selection.select(open_images(data, selection.split))
    report.prepare()
    segmenter = model.load()
    results = _evaluate_images(dataset, lambda record: [evaluate_generator(segmenter, record, options)])
    if not any(result.objects for result in results):
        raise _no_objects(data, dataset, MIN_AREA_PX)
    described = repr(options.for_model(segmenter.config.name))
    facts = {**_collect_facts(dataset, segmenter, model.model), "mask generator": described}
    failures = draw_missed_objects(dataset, results)
    report.publish(build_generator_report(_make_title("Automatic masks", dataset), facts, results, failures))


@app.command()
@expand_groups
def vos(
    data: Data,
    *,
    prompt: Annotated[
        str, typer.Option(help="Prompt of each object on its first frame: mask, box, 1-click, 3-click, …")
    ] = "mask",
    scoring: ScoringOptions,
    selection: SampleOptions,
    model: VideoModelOptions,
    report: ReportOptions,
) -> None:
    """Prompt each object once, track it through its clip and score the masks.

    Predictions are written to OUT/predictions in the layout of the benchmark's server. An interrupted run resumes at
    the first unfinished clip. Without public ground truth nothing is scored; upload the predictions to the server.
    """
    from masklet.datasets.layouts import open_clips
    from masklet.evaluate.benchmarks import find_benchmark
    from masklet.evaluate.prediction_run import find_predictions
    from masklet.evaluate.score import has_public_ground_truth
    from masklet.evaluate.vos import FirstPrompt

    first_prompt = FirstPrompt.parse(prompt)
    clips = selection.select(open_clips(data, selection.split))
    rules = find_benchmark(scoring.benchmark or clips.kind)
    report.prepare()
    segmenter = model.load()
    speed = _predict(segmenter, clips, first_prompt, rules, report)
    facts = {**_collect_facts(clips, segmenter, model.model), "prompt": first_prompt.name, "speed": speed}
    predictions = find_predictions(report.out)
    if has_public_ground_truth(clips):
        return _score(predictions, clips, facts, rules, scoring, report, (segmenter.config.name, first_prompt.name))
    destination = f" to {rules.server}" if rules.server else ""
    say(f"the ground truth of {clips.kind} {clips.split} is not public; upload the predictions{destination}")
    return print_json({"answers": predictions.root}) if report.json else print_line(str(predictions.root))


@app.command()
@expand_groups
def interactive(
    data: Data,
    *,
    mode: Annotated[
        Mode, typer.Option(help="offline: correct the frame with the lowest IoU. online: a single pass.")
    ] = Mode.OFFLINE,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Number of prompted frames, with 3 clicks each.")] = 8,
    selection: SampleOptions,
    model: VideoModelOptions,
    report: ReportOptions,
) -> None:
    """Simulate a user who clicks and corrects: J&F by number of prompted frames, and the area under this curve."""
    from masklet.datasets.layouts import open_clips
    from masklet.evaluate.failure_cases import draw_worst_rounds
    from masklet.evaluate.interactive import evaluate_clip
    from masklet.evaluate.interactive_report import build_interactive_report
    from masklet.evaluate.report import format_count

    clips = selection.select(open_clips(data, selection.split))
    report.prepare()
    segmenter = model.load()
    results = []
    with progress(f"{format_count(len(clips), 'clip')}, {format_count(rounds, 'round')} each") as done:
        frames, total = count(1), rounds * sum(len(clip) for clip in clips)  # more where objects appear later
        for clip in clips:
            results += evaluate_clip(segmenter, clip, mode.value, rounds, on_frame=lambda: done(next(frames), total))
    facts, failures = _collect_facts(clips, segmenter, model.model), draw_worst_rounds(results, clips)
    report.publish(build_interactive_report(_make_title("Interactive", clips), facts, results, mode.value, failures))


@app.command()
@expand_groups
def score(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="<clip>/<frame>.png, or <clip>/<object>/<frame>.png.")
    ],
    ground_truth: Annotated[
        Path, typer.Argument(metavar="GROUND_TRUTH", help="Dataset folder, or masks laid out like RESULTS.")
    ],
    *,
    scoring: ScoringOptions,
    selection: SelectionOptions,
    report: ReportOptions,
) -> None:
    """Score the masks of any program: J, F, J&F, recall and decay, averaged as the benchmark does."""
    from masklet.datasets.layouts import open_ground_truth
    from masklet.evaluate.benchmarks import find_benchmark
    from masklet.evaluate.predictions import PredictionFolder

    clips = selection.select(open_ground_truth(ground_truth, selection.split))
    rules = find_benchmark(scoring.benchmark or clips.kind)
    report.prepare()
    facts = {**_collect_facts(clips), "results": str(results)}
    _score(PredictionFolder(results), clips, facts, rules, scoring, report)


def _evaluate_images(dataset: Images, evaluate: Callable[[AnnotatedImage], Sequence[Result]]) -> list[Result]:
    """Evaluate one image after the other, with a progress bar. Returns the results of all."""
    from masklet.evaluate.report import format_count

    results: list[Result] = []
    with progress(format_count(len(dataset), "image"), unit="images") as done:
        for number, record in enumerate(dataset, start=1):
            results += evaluate(record)
            done(number, len(dataset))
    return results


def _read_clicks(file: Path, dataset: Images) -> tuple[FixedClicks, Images]:
    """Read clicks from a prompt file. Returns them with the images that have clicks."""
    from masklet.evaluate.click_protocol import FixedClicks
    from masklet.image_sets.prompt_file import read_image_prompts

    source = FixedClicks.from_prompts(read_image_prompts(file))
    return source, source.select(dataset)


def _no_objects(data: Path, dataset: Images, min_area: int = 1) -> SettingsError:
    kind = f"object of at least {min_area} pixels" if min_area > 1 else "object"
    return SettingsError("bad-usage", f"{data}: the {len(dataset)} selected images have no {kind}; select others")


def _predict(segmenter: Segmenter, clips: Clips, how: FirstPrompt, rules: Benchmark, report: ReportOptions) -> str:
    """Predict the clips that have no predictions yet. Returns the speed as text."""
    from masklet.evaluate.prediction_run import find_predictions, predict_clips
    from masklet.evaluate.report import HTML_FILE, JSON_FILE, MARKDOWN_FILE, format_count

    replace_all = report.overwrite
    total = sum(len(clip) for clip in clips)
    predictions = find_predictions(report.out)
    remaining = total - sum(len(clip) for clip in clips if not replace_all and predictions.has_clip(clip.name))
    frames, start = 0, time.perf_counter()
    with progress(f"{format_count(len(clips), 'clip')}, {remaining} of {total} frames to predict") as done:
        for frames in predict_clips(segmenter, clips, how, report.out, rules.layout, restart=replace_all):
            if frames == 1:  # only now does this process hold the lock of the folder
                for name in (HTML_FILE, MARKDOWN_FILE, JSON_FILE):  # with a report, the run could not be resumed
                    (report.out / name).unlink(missing_ok=True)
            done(frames, remaining)
    speed = frames / (time.perf_counter() - start)
    return f"{speed:.1f} frames a second with prompts and files, over {frames} of {total} frames in this run"


def _score(
    predictions: PredictionFolder,
    clips: Clips,
    facts: dict[str, str],
    rules: Benchmark,
    scoring: ScoringOptions,
    report: ReportOptions,
    model_and_prompt: tuple[str, str] | None = None,
) -> None:
    """Score predictions and publish the report; `model_and_prompt` selects the published results to compare with."""
    from masklet.datasets.frame_folders import read_list
    from masklet.evaluate.failure_cases import draw_worst_frames
    from masklet.evaluate.published_results import find_published_scores
    from masklet.evaluate.report import format_count
    from masklet.evaluate.score import score_clips
    from masklet.evaluate.static_masks import BASELINE_NAME, StaticMasks
    from masklet.evaluate.vos_report import build_vos_report

    scores: list[ObjectScores] = []
    workers = min(scoring.workers or _count_cores(), len(clips))
    with progress(
        f"scoring {format_count(len(clips), 'clip')} with {format_count(workers, 'core')}", unit="clips"
    ) as done:
        for number, object_scores in enumerate(score_clips(predictions, clips, rules, workers=workers), start=1):
            scores += object_scores
            done(number, len(clips))
    if not scores:
        raise SettingsError("bad-usage", f"{clips.root}: no object has frames that {rules.name} scores; select others")
    unseen = clips.unseen if scoring.unseen is None else frozenset(read_list(scoring.unseen))
    row = find_published_scores(clips.kind, clips.split, *model_and_prompt) if model_and_prompt else None
    failures = draw_worst_frames(scores, clips, predictions)
    baselines = {}
    if scoring.baselines:
        baselines[BASELINE_NAME] = [
            object_score
            for clip_scores in score_clips(StaticMasks(clips), clips, rules, workers=workers)
            for object_score in clip_scores
        ]
    report.publish(
        build_vos_report(_make_title("Clips", clips), facts, scores, rules, unseen, row, failures, baselines)
    )


def _collect_facts(data: Dataset[Any], segmenter: Segmenter | None = None, model: str = "") -> dict[str, str]:
    """Return the facts at the head of a report. The hash of the names shows whether two runs used the same ones."""
    from masklet.evaluate.provenance import collect_model_facts, collect_run_facts
    from masklet.files.hashing import sha256

    names = sha256("\n".join(sorted(data.names)).encode("utf-8", "surrogatepass"))[:12]
    facts = {"data": f"{data.kind} {data.split}, {len(data)} by name (names {names})", "licence": data.license}
    return {**facts, **(collect_model_facts(segmenter, model) if segmenter else {}), **collect_run_facts()}


def _make_title(what: str, data: Dataset[Any]) -> str:
    """Return the title with the folder's name for custom datasets, else with the benchmark and the split."""
    is_custom = data.kind in ("folder", "clips")
    return f"{what}: {data.split}" if is_custom else f"{what}: {data.kind} {data.split}"


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

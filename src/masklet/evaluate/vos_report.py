"""Report of the VOS protocol: main score of the benchmark, recall and decay, scores by clip, worst frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

from masklet.evaluate.aggregation import Averages, ObjectScores, average_scores, average_seen_and_unseen, group_by_clip
from masklet.evaluate.benchmarks import Benchmark
from masklet.evaluate.error_images import LEGEND
from masklet.evaluate.plots import draw_bar_plot
from masklet.evaluate.published_results import PublishedScores
from masklet.evaluate.report import CaptionedImage, Plot, Report, Table, format_count, format_percent

MAX_PLOTTED_CLIPS = 60  # the table has all clips


def build_vos_report(
    title: str,
    facts: Mapping[str, str],
    scores: Sequence[ObjectScores],
    benchmark: Benchmark,
    unseen: frozenset[str] | None = None,
    published: PublishedScores | None = None,
    images: Sequence[CaptionedImage] = (),
    baselines: Mapping[str, Sequence[ObjectScores]] = MappingProxyType({}),
) -> Report:
    """Build the report on the scores of at least one object.

    Args:
        title: The heading.
        facts: Provenance of the run.
        scores: The scores of all objects.
        benchmark: The rules for averages.
        unseen: The names of unseen categories or clips, if they are known.
        published: Published scores to compare with.
        images: The images of the worst frames.
        baselines: The scores of baselines by name.
    """
    groups = _average_groups(scores, benchmark, unseen)
    averaged_baselines = {
        name: (average_scores(others), _average_groups(others, benchmark, unseen)) for name, others in baselines.items()
    }
    clips = {name: average_scores(objects) for name, objects in group_by_clip(scores).items()}
    head = _build_head_table(average_scores(scores), groups, benchmark, published, len(clips))
    others = [[name, *_format_columns(*means, benchmark).values()] for name, means in averaged_baselines.items()]
    worst_first = sorted(clips.items(), key=lambda item: item[1].j_and_f)[:MAX_PLOTTED_CLIPS]
    bars = draw_bar_plot({name: 100 * means.j_and_f for name, means in worst_first}, "J&F per clip, percent")
    return Report(
        title=title,
        facts={**facts, "counted as": benchmark.name, "clips": str(len(clips)), "objects": str(len(scores))},
        tables=[
            replace(head, rows=[head.rows[0], *others, *head.rows[1:]]),
            _build_group_table(average_scores(scores), groups),
            _build_clip_table(clips),
        ],
        numbers={
            "summary": {
                **_averages_to_json(average_scores(scores)),
                **{name: _averages_to_json(means) for name, means in groups.items()},
            },
            "headline": _compute_headline(average_scores(scores), groups),
            "baselines": {
                name: {group: _averages_to_json(means) for group, means in (by_group or {"all": total}).items()}
                for name, (total, by_group) in averaged_baselines.items()
            },
            "clips": {name: _averages_to_json(means) for name, means in clips.items()},
            "objects": [_scores_to_json(score) for score in scores],
        },
        plots=[Plot("J&F per clip, the worst first", bars)],
        images=images,
        legend=LEGEND,
        subtitle=f"{format_count(len(clips), 'clip')}, {format_count(len(scores), 'object')}",
    )


def _average_groups(
    scores: Sequence[ObjectScores], benchmark: Benchmark, unseen: frozenset[str] | None
) -> dict[str, Averages]:
    """Average over seen and over unseen objects, if the benchmark distinguishes them and they are known."""
    if benchmark.groups is None or unseen is None:
        return {}
    members: dict[str, list[ObjectScores]] = {"seen": [], "unseen": []}
    for score in scores:
        name = score.category if benchmark.groups == "category" else score.clip
        members["unseen" if name in unseen else "seen"].append(score)
    return {name: average_scores(objects) for name, objects in members.items() if objects}


def _compute_headline(total: Averages, groups: Mapping[str, Averages]) -> float:
    """Compute the main score of a benchmark, from 0 to 1."""
    return average_seen_and_unseen(groups) if groups else total.j_and_f


def _build_head_table(
    total: Averages,
    groups: Mapping[str, Averages],
    benchmark: Benchmark,
    published: PublishedScores | None,
    clips: int,
) -> Table:
    """Build the table of the benchmark's main score, with the published scores in the last row."""
    columns = _format_columns(total, groups, benchmark)
    rows = [["this run", *columns.values()]]
    note = f"Mean over {format_count(total.objects, 'object')} of all clips together, in percent."
    if groups:
        note = "Mean of J and F of seen and of unseen objects, in percent."
    if published is not None:
        values = published.percentages
        rows.append(["published", *(f"{values[name]:.1f}" if name in values else "–" for name in columns)])
        note += f" Published: {published.source}."
        if published.clips not in (None, clips):
            note += f" Not comparable: published for {published.clips} clips, this run has {clips}."
    return Table("Main score", ["", *columns], rows, note)


def _format_columns(total: Averages, groups: Mapping[str, Averages], benchmark: Benchmark) -> dict[str, str]:
    """Format the main score of the benchmark and its components in percent, by name."""
    if not groups:
        return {name: format_percent(getattr(total, key)) for name, key in (("J&F", "j_and_f"), ("J", "j"), ("F", "f"))}
    components = {
        f"{part} {key}": format_percent(getattr(means, part.lower())) for key, means in groups.items() for part in "JF"
    }
    name = "G" if benchmark.groups == "category" else "J&F"
    return {name: format_percent(_compute_headline(total, groups)), **components}


def _build_group_table(total: Averages, groups: Mapping[str, Averages]) -> Table:
    header = ["objects", "number", "J&F", "J", "J recall", "J decay", "F", "F recall", "F decay"]
    rows = [_format_group_row(name, means) for name, means in {"all": total, **groups}.items()]
    note = (
        "Percent. Recall is the fraction of frames with a score above 0.5; decay is the mean of the first quarter of "
        "the frames minus that of the last."
    )
    return Table("Means, recall and decay", header, rows, note)


def _format_group_row(name: str, means: Averages) -> list[str]:
    values = [means.j_and_f, means.j, means.j_recall, means.j_decay, means.f, means.f_recall, means.f_decay]
    return [name, str(means.objects), *map(format_percent, values)]


def _build_clip_table(clips: Mapping[str, Averages]) -> Table:
    rows = [
        [name, str(means.objects), format_percent(means.j_and_f), format_percent(means.j), format_percent(means.f)]
        for name, means in clips.items()
    ]
    return Table("Clip by clip", ["clip", "objects", "J&F", "J", "F"], rows)


def _averages_to_json(means: Averages) -> dict[str, Any]:
    return {**asdict(means), "j_and_f": means.j_and_f}


def _scores_to_json(score: ObjectScores) -> dict[str, Any]:
    return {
        "clip": score.clip,
        "object": score.object_id,
        "category": score.category,
        "j": float(score.j.mean()),
        "f": float(score.f.mean()),
        "frames": list(score.frames),
        "j_per_frame": [round(value, 6) for value in score.j.tolist()],
        "f_per_frame": [round(value, 6) for value in score.f.tolist()],
    }

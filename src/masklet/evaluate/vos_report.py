"""The report on clips: J and F as the benchmark averages them, clip by clip, with the worst frames as pictures."""

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
from masklet.evaluate.report import CaptionedImage, Plot, Report, Table, format_count

MAX_PLOTTED_CLIPS = 60  # in the plot; the table has all


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
    """The report on the scores of at least one object; `unseen` are the names of unseen categories or clips, `beside`
    the scores of others, by name, that are laid beneath."""
    groups = average_groups(scores, benchmark, unseen)
    averaged_baselines = {
        name: (average_scores(others), average_groups(others, benchmark, unseen)) for name, others in baselines.items()
    }
    clips = {name: average_scores(found) for name, found in group_by_clip(scores).items()}
    head = _build_head_table(average_scores(scores), groups, benchmark, published, len(clips))
    others = [[name, *_format_columns(*found, benchmark).values()] for name, found in averaged_baselines.items()]
    worst_first = sorted(clips.items(), key=lambda item: item[1].j_and_f)[:MAX_PLOTTED_CLIPS]
    bars = draw_bar_plot({name: 100 * found.j_and_f for name, found in worst_first}, "J&F per clip, percent")
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
                **{name: _averages_to_json(found) for name, found in groups.items()},
            },
            "headline": compute_headline(average_scores(scores), groups),
            "baselines": {
                name: {part: _averages_to_json(one) for part, one in (halves or {"all": everything}).items()}
                for name, (everything, halves) in averaged_baselines.items()
            },
            "clips": {name: _averages_to_json(found) for name, found in clips.items()},
            "objects": [_scores_to_json(score) for score in scores],
        },
        plots=[Plot("J&F per clip, the worst first", bars)],
        images=images,
        legend=LEGEND,
        subtitle=f"{format_count(len(clips), 'clip')}, {format_count(len(scores), 'object')}",
    )


def average_groups(
    scores: Sequence[ObjectScores], benchmark: Benchmark, unseen: frozenset[str] | None
) -> dict[str, Averages]:
    """The averages over seen and over unseen objects, where the benchmark parts them and they are known."""
    if benchmark.groups is None or unseen is None:
        return {}
    halves: dict[str, list[ObjectScores]] = {"seen": [], "unseen": []}
    for score in scores:
        name = score.category if benchmark.groups == "category" else score.clip
        halves["unseen" if name in unseen else "seen"].append(score)
    return {name: average_scores(half) for name, half in halves.items() if half}


def compute_headline(everything: Averages, groups: Mapping[str, Averages]) -> float:
    """The number that the benchmark ranks by, from 0 to 1."""
    return average_seen_and_unseen(groups) if groups else everything.j_and_f


def _build_head_table(
    everything: Averages, groups: Mapping[str, Averages], rules: Benchmark, row: PublishedScores | None, clips: int
) -> Table:
    """The benchmark's own columns, with the published row beneath."""
    ours = _format_columns(everything, groups, rules)
    rows = [["this run", *ours.values()]]
    note = f"The mean over {format_count(everything.objects, 'object')} of all clips together, in percent."
    if groups:
        note = "The mean of J and F of seen and of unseen objects, in percent."
    if row is not None:
        rows.append(
            ["published", *(f"{row.percentages[name]:.1f}" if name in row.percentages else "–" for name in ours)]
        )
        note += f" Published: {row.source}."
        if row.clips not in (None, clips):
            note += f" It is of {row.clips} clips, this run of {clips}: they cannot be compared."
    return Table("The benchmark's number", ["", *ours], rows, note)


def _format_columns(everything: Averages, groups: Mapping[str, Averages], rules: Benchmark) -> dict[str, str]:
    """What the benchmark ranks by and what that is made of, in percent by name."""
    if not groups:
        return {
            name: _format_percent(getattr(everything, key))
            for name, key in (("J&F", "j_and_f"), ("J", "j"), ("F", "f"))
        }
    halves = {
        f"{part} {key}": _format_percent(getattr(found, part.lower())) for key, found in groups.items() for part in "JF"
    }
    return {
        "G" if rules.groups == "category" else "J&F": _format_percent(compute_headline(everything, groups)),
        **halves,
    }


def _build_group_table(everything: Averages, groups: Mapping[str, Averages]) -> Table:
    header = ["objects", "number", "J&F", "J", "J recall", "J decay", "F", "F recall", "F decay"]
    rows = [_format_group_row(name, found) for name, found in {"all": everything, **groups}.items()]
    note = "Recall is the share of frames above one half, decay the first quarter of a clip less the last, in percent."
    return Table("Means, recall and decay", header, rows, note)


def _format_group_row(name: str, found: Averages) -> list[str]:
    parts = [found.j_and_f, found.j, found.j_recall, found.j_decay, found.f, found.f_recall, found.f_decay]
    return [name, str(found.objects), *map(_format_percent, parts)]


def _build_clip_table(clips: Mapping[str, Averages]) -> Table:
    rows = [
        [name, str(found.objects), _format_percent(found.j_and_f), _format_percent(found.j), _format_percent(found.f)]
        for name, found in clips.items()
    ]
    return Table("Clip by clip", ["clip", "objects", "J&F", "J", "F"], rows)


def _averages_to_json(found: Averages) -> dict[str, Any]:
    return {**asdict(found), "j_and_f": found.j_and_f}


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


def _format_percent(value: float) -> str:
    return f"{100 * value:.1f}"

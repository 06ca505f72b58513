"""The report on clips: J and F as the benchmark averages them, clip by clip, with the worst frames as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

from masklet.evaluate.aggregation import Averages, ObjectScores, averages, by_clip, seen_and_unseen
from masklet.evaluate.benchmarks import Benchmark
from masklet.evaluate.error_images import LEGEND
from masklet.evaluate.plots import bar_plot
from masklet.evaluate.published_results import Published
from masklet.evaluate.report import Picture, Plot, Report, Table, counted

SHOWN_CLIPS = 60  # in the plot; the table has all


def vos_report(
    title: str,
    facts: Mapping[str, str],
    scores: Sequence[ObjectScores],
    rules: Benchmark,
    unseen: frozenset[str] | None = None,
    row: Published | None = None,
    pictures: Sequence[Picture] = (),
    beside: Mapping[str, Sequence[ObjectScores]] = MappingProxyType({}),
) -> Report:
    """The report on the scores of at least one object; `unseen` are the names of unseen categories or clips, `beside`
    the scores of others, by name, that are laid beneath."""
    groups = grouped(scores, rules, unseen)
    baselines = {name: (averages(others), grouped(others, rules, unseen)) for name, others in beside.items()}
    clips = {name: averages(found) for name, found in by_clip(scores).items()}
    head = _head_table(averages(scores), groups, rules, row, len(clips))
    others = [[name, *_columns(*found, rules).values()] for name, found in baselines.items()]
    worst_first = sorted(clips.items(), key=lambda item: item[1].j_and_f)[:SHOWN_CLIPS]
    bars = bar_plot({name: 100 * found.j_and_f for name, found in worst_first}, "J&F per clip, percent")
    return Report(
        title=title,
        facts={**facts, "counted as": rules.name, "clips": str(len(clips)), "objects": str(len(scores))},
        tables=[
            replace(head, rows=[head.rows[0], *others, *head.rows[1:]]),
            _group_table(averages(scores), groups),
            _clip_table(clips),
        ],
        numbers={
            "summary": {**_numbers(averages(scores)), **{name: _numbers(found) for name, found in groups.items()}},
            "headline": headline(averages(scores), groups),
            "baselines": {
                name: {part: _numbers(one) for part, one in (halves or {"all": everything}).items()}
                for name, (everything, halves) in baselines.items()
            },
            "clips": {name: _numbers(found) for name, found in clips.items()},
            "objects": [_object(score) for score in scores],
        },
        plots=[Plot("J&F per clip, the worst first", bars)],
        pictures=pictures,
        legend=LEGEND,
        about=f"{counted(len(clips), 'clip')}, {counted(len(scores), 'object')}",
    )


def grouped(scores: Sequence[ObjectScores], rules: Benchmark, unseen: frozenset[str] | None) -> dict[str, Averages]:
    """The averages over seen and over unseen objects, where the benchmark parts them and they are known."""
    if rules.groups is None or unseen is None:
        return {}
    halves: dict[str, list[ObjectScores]] = {"seen": [], "unseen": []}
    for score in scores:
        name = score.category if rules.groups == "category" else score.clip
        halves["unseen" if name in unseen else "seen"].append(score)
    return {name: averages(half) for name, half in halves.items() if half}


def headline(everything: Averages, groups: Mapping[str, Averages]) -> float:
    """The number that the benchmark ranks by, from 0 to 1."""
    return seen_and_unseen(groups) if groups else everything.j_and_f


def _head_table(
    everything: Averages, groups: Mapping[str, Averages], rules: Benchmark, row: Published | None, clips: int
) -> Table:
    """The benchmark's own columns, with the published row beneath."""
    ours = _columns(everything, groups, rules)
    rows = [["this run", *ours.values()]]
    note = f"The mean over {counted(everything.objects, 'object')} of all clips together, in percent."
    if groups:
        note = "The mean of J and F of seen and of unseen objects, in percent."
    if row is not None:
        rows.append(["published", *(f"{row.numbers[name]:.1f}" if name in row.numbers else "–" for name in ours)])
        note += f" Published: {row.source}."
        if row.clips not in (None, clips):
            note += f" It is of {row.clips} clips, this run of {clips}: they cannot be compared."
    return Table("The benchmark's number", ["", *ours], rows, note)


def _columns(everything: Averages, groups: Mapping[str, Averages], rules: Benchmark) -> dict[str, str]:
    """What the benchmark ranks by and what that is made of, in percent by name."""
    if not groups:
        return {name: _percent(getattr(everything, key)) for name, key in (("J&F", "j_and_f"), ("J", "j"), ("F", "f"))}
    halves = {f"{part} {key}": _percent(getattr(found, part.lower())) for key, found in groups.items() for part in "JF"}
    return {"G" if rules.groups == "category" else "J&F": _percent(headline(everything, groups)), **halves}


def _group_table(everything: Averages, groups: Mapping[str, Averages]) -> Table:
    header = ["objects", "number", "J&F", "J", "J recall", "J decay", "F", "F recall", "F decay"]
    rows = [_group_row(name, found) for name, found in {"all": everything, **groups}.items()]
    note = "Recall is the share of frames above one half, decay the first quarter of a clip less the last, in percent."
    return Table("Means, recall and decay", header, rows, note)


def _group_row(name: str, found: Averages) -> list[str]:
    parts = [found.j_and_f, found.j, found.j_recall, found.j_decay, found.f, found.f_recall, found.f_decay]
    return [name, str(found.objects), *map(_percent, parts)]


def _clip_table(clips: Mapping[str, Averages]) -> Table:
    rows = [
        [name, str(found.objects), _percent(found.j_and_f), _percent(found.j), _percent(found.f)]
        for name, found in clips.items()
    ]
    return Table("Clip by clip", ["clip", "objects", "J&F", "J", "F"], rows)


def _numbers(found: Averages) -> dict[str, Any]:
    return {**asdict(found), "j_and_f": found.j_and_f}


def _object(score: ObjectScores) -> dict[str, Any]:
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


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"

"""Reports as an HTML page, Markdown tables and JSON."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from masklet.files.atomic import atomic_write, make_folder
from masklet.files.names import replace_surrogates

MARKDOWN_FILE, JSON_FILE, HTML_FILE = "report.md", "report.json", "report.html"

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:hover td { background: var(--soft); }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.facts td:first-child { white-space: nowrap; }
.note { opacity: .75; max-width: 46rem; } .subtitle { margin-top: -.6rem; opacity: .75; }
svg { max-width: 46rem; width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); fill: none; } .track { fill: var(--soft); } .axis { stroke: currentColor; fill: none; }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .85rem; }
figure img { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: var(--soft); border-radius: 4px; }
"""

_MARKDOWN = re.compile(r"[\\`|\[\]]|(?<!\w)[*_]|[*_](?!\w)")  # underscores and stars within a word mean nothing


@dataclass(frozen=True, slots=True)
class Table:
    """Table of text. The first column names the row."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Plot as SVG text."""

    title: str
    svg: str


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """JPEG file with a caption."""

    caption: str
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """Content of a report on one run.

    Attributes:
        title: The heading.
        facts: Provenance of the run: data, model, command, machine. A table in the report, and `facts` in JSON.
        tables: The tables. The first one comes before the plots.
        numbers: Further keys of the JSON file.
        plots: The plots of the HTML page.
        images: The images of the HTML page, worst result first.
        legend: The meaning of the colors in the images.
        subtitle: The measured data in one line.
    """

    title: str
    facts: Mapping[str, str]
    tables: Sequence[Table]
    numbers: Mapping[str, Any]
    plots: Sequence[Plot] = ()
    images: Sequence[CaptionedImage] = ()
    legend: str = ""
    subtitle: str = ""


def write_report(report: Report, folder: Path) -> None:
    """Write `report.md`, `report.json` and `report.html` into a folder, each atomically.

    Args:
        report: The report. Its HTML page includes plots and images.
        folder: The folder, which is created if it is missing.

    Raises:
        ResourceError: The folder cannot be created or a file cannot be written.
    """
    make_folder(folder)
    contents = {MARKDOWN_FILE: render_markdown(report), JSON_FILE: render_json(report), HTML_FILE: render_html(report)}
    for name, text in contents.items():
        with atomic_write(folder / name) as handle:
            handle.write(replace_surrogates(text).encode())


def format_count(number: int, noun: str) -> str:
    """Format a count with its noun: `1 clip`, `3 clips`."""
    return f"{number} {noun}" + "s" * (number != 1)


def format_percent(value: float | None) -> str:
    """Format a value from 0 to 1 in percent with one decimal, and None as a dash."""
    return "–" if value is None else f"{100 * value:.1f}"


def render_markdown(report: Report) -> str:
    """Render the report as Markdown, without plots and images."""
    parts = [
        f"# {_escape_markdown(report.title)}",
        *filter(None, [_escape_markdown(_describe(report))]),
        _render_markdown_table(("", ""), list(report.facts.items())),
    ]
    for table in report.tables:
        parts += [f"## {_escape_markdown(table.title)}", _render_markdown_table(table.header, table.rows)]
        parts += [_escape_markdown(table.note)] if table.note else []
    return "\n\n".join([*parts, f"Plots and images are in `{HTML_FILE}`, all numbers in `{JSON_FILE}`."]) + "\n"


def render_json(report: Report) -> str:
    """Render title, facts and numbers as JSON. Raises `ValueError` for NaN, which JSON does not have."""
    content = {"title": report.title, "facts": dict(report.facts), **report.numbers}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def render_html(report: Report) -> str:
    """Render the report as an HTML page that needs no other file."""
    facts = "".join(f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>" for key, value in report.facts.items())
    body = [
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="subtitle">{escape(_describe(report))}</p>',
        *(_render_table(table) for table in report.tables[:1]),
        *(_render_plot(plot) for plot in report.plots),
        *(_render_table(table) for table in report.tables[1:]),
        _render_images(report.images, report.legend),
        f'<h2>Run</h2><div class="wide"><table class="facts">{facts}</table></div>',
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _describe(report: Report) -> str:
    """Join the subtitle, the model and the date into one line."""
    return " · ".join(part for part in (report.subtitle, report.facts.get("model"), report.facts.get("date")) if part)


def _render_markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:" for _ in header[1:]]], *rows]
    return "\n".join("| " + " | ".join(map(_escape_markdown, line)) + " |" for line in lines)


def _escape_markdown(text: str) -> str:
    """Escape the names of files and clips, which may hold HTML, links or images of an untrusted dataset."""
    return _MARKDOWN.sub(r"\\\g<0>", escape(" ".join(text.split()), quote=False))


def _render_table(table: Table) -> str:
    header = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return f'<h2>{escape(table.title)}</h2><div class="wide"><table><tr>{header}</tr>{rows}</table></div>{note}'


def _render_plot(plot: Plot) -> str:
    return f"<h2>{escape(plot.title)}</h2>{plot.svg}"


def _render_images(images: Sequence[CaptionedImage], legend: str) -> str:
    if not images:
        return ""
    figures = "".join(_render_figure(image) for image in images)
    return f'<h2>Worst results</h2><p class="note">{escape(legend)}</p><div class="images">{figures}</div>'


def _render_figure(image: CaptionedImage) -> str:
    source = "data:image/jpeg;base64," + base64.b64encode(image.jpeg).decode()
    caption = escape(image.caption)
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'

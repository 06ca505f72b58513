"""What an evaluation leaves behind: a page to look at, a table to paste, and every number for machines."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from masklet.files.atomic import atomic_write, make_folder

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
.note { opacity: .75; max-width: 46rem; } .about { margin-top: -.6rem; opacity: .75; }
svg { max-width: 46rem; width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); fill: none; } .track { fill: var(--soft); } .axis { stroke: currentColor; fill: none; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .85rem; }
figure img { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: var(--soft); border-radius: 4px; }
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a header; the first column names the row."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing as SVG text."""

    title: str
    svg: str


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """A JPEG with what is to be seen in it."""

    caption: str
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything about one run. `facts` say how it came about; `numbers` is what JSON gets beside them.

    `about` says in a line what was measured; `pictures` are of the worst answers, and `legend` says what their colours
    mean.
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
    """Writes `report.md`, `report.json` and `report.html`, which needs no other file, into `folder`, each whole.

    Raises `ResourceError` as `atomic_write` and `make_folder`.
    """
    make_folder(folder)
    contents = {MARKDOWN_FILE: render_markdown(report), JSON_FILE: render_json(report), HTML_FILE: render_html(report)}
    for name, text in contents.items():
        with atomic_write(folder / name) as handle:
            handle.write(text.encode())


def format_count(number: int, noun: str) -> str:
    """`1 clip`, `3 clips`."""
    return f"{number} {noun}" + "s" * (number != 1)


def render_markdown(report: Report) -> str:
    """The report without plots and pictures."""
    parts = [
        f"# {report.title}",
        *filter(None, [_describe(report)]),
        _render_markdown_table(("", ""), list(report.facts.items())),
    ]
    for table in report.tables:
        parts += [f"## {table.title}", _render_markdown_table(table.header, table.rows)]
        parts += [table.note] if table.note else []
    return "\n\n".join([*parts, f"Plots and pictures: `{HTML_FILE}`. Every number: `{JSON_FILE}`."]) + "\n"


def render_json(report: Report) -> str:
    """Facts and numbers; NaN is refused, since JSON has none."""
    content = {"title": report.title, "facts": dict(report.facts), **report.numbers}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def render_html(report: Report) -> str:
    """The whole page."""
    facts = "".join(f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>" for key, value in report.facts.items())
    body = [
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="about">{escape(_describe(report))}</p>',
        *(_render_table(table) for table in report.tables[:1]),
        *(_render_plot(plot) for plot in report.plots),
        *(_render_table(table) for table in report.tables[1:]),
        _render_images(report.images, report.legend),
        f'<h2>How this came about</h2><div class="wide"><table class="facts">{facts}</table></div>',
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _describe(report: Report) -> str:
    """What was measured, of which model, and when."""
    return " · ".join(part for part in (report.subtitle, report.facts.get("model"), report.facts.get("date")) if part)


def _render_markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:" for _ in header[1:]]], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


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
    figures = "".join(_render_figure(picture) for picture in images)
    return f'<h2>The worst</h2><p class="note">{escape(legend)}</p><div class="pictures">{figures}</div>'


def _render_figure(picture: CaptionedImage) -> str:
    source = "data:image/jpeg;base64," + base64.b64encode(picture.jpeg).decode()
    caption = escape(picture.caption)
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'

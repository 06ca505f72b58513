"""`python -m benchmarks KIND …`: measure, print a Markdown table, write it and the JSON to benchmarks/results."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from benchmarks.machine import ROOT, description

KINDS = ("image", "video", "length", "data", "j_and_f", "onnx", "variants", "zoom")


def main() -> int:
    """Run one kind of benchmark."""
    if len(sys.argv) < 2 or sys.argv[1] not in KINDS:
        print(f"usage: scripts/bench {{{','.join(KINDS)}}} [--device cpu|cuda] [--help]", file=sys.stderr)
        return 2
    kind = importlib.import_module(f"benchmarks.{sys.argv[1]}")
    rows = kind.main(sys.argv[2:])
    where = description(rows[0]["device"])
    table = markdown(rows, kind.columns())
    told = ", ".join(f"{key} {value}" for key, value in where.items())
    command = f"scripts/bench {' '.join(sys.argv[1:])}"
    text = f"# {sys.argv[1].capitalize()} on {where['device']}\n\n`{command}`: {told}\n\n{kind.__doc__}\n{table}\n"
    print(text)
    name = f"{sys.argv[1]}-{rows[0]['device'].split(':')[0]}"
    results = ROOT / "benchmarks" / "results"
    (results / f"{name}.md").write_text(text)
    if hasattr(kind, "plot"):
        (results / f"{name}.svg").write_text(kind.plot(rows))
    (results / f"{name}.json").write_text(json.dumps({"command": command, "machine": where, "rows": rows}, indent=1))
    return 0


def markdown(rows: list[dict[str, Any]], columns: list[tuple[str, str, str]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| " + " | ".join(heading for _, heading, _ in columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(form.format(row[key]) for key, _, form in columns) + " |" for row in rows]
    return "\n".join(lines)


sys.exit(main())

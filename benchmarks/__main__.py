"""Command `python -m benchmarks KIND`: measure, print a Markdown table, write it and JSON to benchmarks/results."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, describe_machine

KINDS = (
    "image",
    "video",
    "length",
    "live",
    "data",
    "j_and_f",
    "onnx",
    "quantization",
    "variants",
    "zoom",
    "references",
    "memory",
    "mask_warnings",
    "studio",
    "studio_page",
    "serve",
)


def main() -> int:
    """Run one kind of benchmark and return the exit status."""
    if len(sys.argv) < 2 or sys.argv[1] not in KINDS:
        print(f"usage: scripts/bench {{{','.join(KINDS)}}} [--device cpu|cuda] [--help]", file=sys.stderr)
        return 2
    kind = importlib.import_module(f"benchmarks.{sys.argv[1]}")
    rows = kind.main(sys.argv[2:])
    machine = describe_machine(rows[0]["device"])
    table = render_markdown(rows, kind.columns())
    facts = ", ".join(f"{key} {value}" for key, value in machine.items())
    command = f"scripts/bench {' '.join(map(_hide_folder, sys.argv[1:]))}"
    text = f"# {sys.argv[1].capitalize()} on {machine['device']}\n\n`{command}`: {facts}\n\n{kind.__doc__}\n{table}\n"
    print(text)
    name = f"{sys.argv[1]}-{rows[0]['device'].split(':')[0]}"
    results = ROOT / "benchmarks" / "results"
    (results / f"{name}.md").write_text(text)
    if hasattr(kind, "plot"):
        (results / f"{name}.svg").write_text(kind.plot(rows))
    (results / f"{name}.json").write_text(json.dumps({"command": command, "machine": machine, "rows": rows}, indent=1))
    return 0


def render_markdown(rows: list[dict[str, Any]], columns: list[tuple[str, str, str]]) -> str:
    """Render rows as a Markdown table."""
    lines = ["| " + " | ".join(heading for _, heading, _ in columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(spec.format(row[key]) for key, _, spec in columns) + " |" for row in rows]
    return "\n".join(lines)


def _hide_folder(argument: str) -> str:
    """Return an argument without the folder, if it is a path: data lies elsewhere on each machine."""
    return f"DATA/{Path(argument).name}" if "/" in argument and Path(argument).exists() else argument


sys.exit(main())

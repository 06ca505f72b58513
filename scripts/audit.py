"""Run pip-audit on constraints.txt, and tell vulnerable packages from an advisory service that cannot be reached."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

VULNERABLE, UNREACHABLE = 1, 69
OPTIONS = ["--requirement", "constraints.txt", "--no-deps", "--disable-pip", "--format", "json"]


def summarize(report: str) -> tuple[int, list[str]]:
    """Return the exit status for a report of pip-audit, and the lines to print.

    Args:
        report: The JSON that pip-audit wrote, or anything else if it failed.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        packages = []
    unchecked = [package for package in packages if "skip_reason" in package]
    if len(unchecked) == len(packages):
        return UNREACHABLE, ["the advisory service cannot be reached; no package was checked, try again later"]
    lines = [f"{package['name']} was not checked: {package['skip_reason']}" for package in unchecked]
    for package in packages:
        for found in package.get("vulns", []):
            fixed = ", ".join(found["fix_versions"]) or "no version"
            lines.append(f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    return (VULNERABLE if lines else 0), lines or [f"no known vulnerabilities in {len(packages)} packages"]


def main(program: str) -> int:
    """Run pip-audit, print a summary and return the exit status."""
    run = subprocess.run([program, *OPTIONS, "--progress-spinner", "off"], capture_output=True, text=True)
    status, lines = summarize(run.stdout)
    print(*lines, sep="\n", file=sys.stderr if status else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

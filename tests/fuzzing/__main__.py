"""Command line of the fuzzer, see `scripts/fuzz --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fuzzing.kinds import KINDS
from fuzzing.run import run_kind


def main() -> int:
    """Fuzz kinds of inputs. Returns 1 if there were failures."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Check damaged and invalid inputs of each kind.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"one or more of {', '.join(KINDS)}; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each kind (default: 60)")
    parser.add_argument("--count", type=int, help="number of inputs of each kind, in place of a time")
    parser.add_argument("--seed", type=int, default=0, help="seed of the inputs (default: 0)")
    parser.add_argument("--engine", choices=("mutation", "hypothesis"), default="mutation", help="drawer of the inputs")
    parser.add_argument("--target", action="append", default=[], help="only this target of the kind, such as coco")
    parser.add_argument("--save", type=Path, default=Path("build/fuzz"), help="folder for failing inputs")
    options = parser.parse_args()
    unknown = [kind for kind in options.kinds if kind not in KINDS]
    if unknown:
        parser.error(f"unknown kind {unknown[0]!r}; choose from {', '.join(KINDS)}")
    failed = False
    for kind in options.kinds or KINDS:
        limits = {"count": options.count} if options.count else {"seconds": options.seconds}
        if options.engine == "hypothesis":
            limits["count"] = options.count or 100_000
        report = run_kind(kind, seed=options.seed, engine=options.engine, targets=options.target, **limits)
        print(report, flush=True)
        for failure in report.failures:
            print(f"  {options.save / kind / failure.target / failure.file_name}: {failure.message}", flush=True)
        report.save(options.save)
        failed = failed or bool(report.failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

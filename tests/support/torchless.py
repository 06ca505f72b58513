"""A Python process without PyTorch and all else that the default install lacks, to which commands are given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import masklet

ABSENT = ("torch", "torchvision", "onnx", "scipy", "pycocotools", "psutil", "hypothesis", "pytest", "tomli")
SERVER = """
import contextlib, io, json, sys
for name in json.loads(sys.argv[1]):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError, as if it were not installed
from masklet.cli.main import main

for line in sys.stdin:
    told = json.loads(line)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if "code" in told:
            exec(told["code"], {})
            status = 0
        else:
            status = main(told["words"])
    loaded = [name for name in ("torch", "onnx") if sys.modules.get(name)]
    print(json.dumps([status, out.getvalue(), err.getvalue(), loaded]), flush=True)
"""


class Done(NamedTuple):
    """How a command ended, what it wrote where, and which of the absent packages were loaded in spite of all."""

    status: int
    out: str
    err: str
    loaded: list[str]


class Torchless:
    """`run("segment", …)` is `masklet segment …` in that process; `execute(code)` is a Python program there."""

    def __init__(self, python: Path = Path(sys.executable), absent: tuple[str, ...] = ABSENT) -> None:
        """`absent` are made to look not installed; in an environment without them they need not be."""
        environment = dict(os.environ)
        if absent:  # this environment's Python, this checkout's code
            environment["PYTHONPATH"] = str(Path(masklet.__file__).parents[2])
        else:
            environment.pop("PYTHONPATH", None)
        command = [python, "-c", SERVER, json.dumps(absent)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, *words: object) -> Done:
        """Run a command."""
        return self._told({"words": [str(word) for word in words]})

    def execute(self, code: str) -> Done:
        """Run a program; what it raises ends the process."""
        return self._told({"code": code})

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _told(self, what: dict[str, object]) -> Done:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process has ended"
        done = Done(*json.loads(line))
        assert done.loaded == []
        assert done.status != 1
        return done

"""A Python process that runs commands without PyTorch and other packages that the default install lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import masklet

ABSENT_PACKAGES = (
    "torch",
    "torchvision",
    "onnx",
    "scipy",
    "pycocotools",
    "psutil",
    "hypothesis",
    "jaxtyping",
    "pytest",
    "tomli",
)
SERVER_CODE = """
import contextlib, io, json, sys
for name in json.loads(sys.argv[1]):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError, as if it were not installed
from masklet.cli.main import main

for line in sys.stdin:
    request = json.loads(line)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if "code" in request:
            exec(request["code"], {})
            status = 0
        else:
            status = main(request["words"])
    loaded = [name for name in ("torch", "onnx") if sys.modules.get(name)]
    print(json.dumps([status, out.getvalue(), err.getvalue(), loaded]), flush=True)
"""


class Completed(NamedTuple):
    """Exit status and output of a command, and which of torch and onnx are loaded afterwards."""

    status: int
    out: str
    err: str
    loaded: list[str]


class Torchless:
    """A process in which `run("segment", …)` runs `masklet segment …` and `execute(code)` runs Python code."""

    def __init__(self, python: Path = Path(sys.executable), absent: tuple[str, ...] = ABSENT_PACKAGES) -> None:
        """Start the process. Importing the packages `absent` fails as if they were not installed."""
        environment = dict(os.environ)
        if absent:  # the Python of this environment with the code of this checkout
            environment["PYTHONPATH"] = str(Path(masklet.__file__).parents[1])
        else:
            environment.pop("PYTHONPATH", None)
        command = [python, "-c", SERVER_CODE, json.dumps(absent)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, *words: object) -> Completed:
        """Run a command."""
        return self._send({"words": [str(word) for word in words]})

    def execute(self, code: str) -> Completed:
        """Run Python code; an exception ends the process."""
        return self._send({"code": code})

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _send(self, request: dict[str, object]) -> Completed:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process has ended"
        completed = Completed(*json.loads(line))
        assert completed.loaded == []
        assert completed.status != 1
        return completed

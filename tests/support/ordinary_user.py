"""Command lines run as an ordinary user, whom permissions stop: root without the right to ignore them, or anybody.

Each line of stdin is a list of arguments in JSON; stdout has a status and the text of stderr for each. All lines run in
one process, with `GrayWorld` in place of a network.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_RESTRICT = ("setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search")


def can_be_stopped() -> bool:
    """Return whether permissions can stop the commands: not on Windows, nor as root without setpriv."""
    return hasattr(os, "geteuid") and (os.geteuid() != 0 or shutil.which(_RESTRICT[0]) is not None)


def run_commands(*commands: Sequence[str | Path], folder: Path) -> list[tuple[int, str]]:
    """Run commands in a folder. Returns the exit status and the text of stderr of each."""
    lines = "".join(json.dumps([str(word) for word in words]) + "\n" for words in commands)
    words = [*(_RESTRICT if os.geteuid() == 0 else ()), sys.executable, __file__]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        words, input=lines, capture_output=True, text=True, check=True, cwd=folder, env={**os.environ, **paths}
    )
    return [(status, text) for status, text in map(json.loads, result.stdout.splitlines())]


def _serve() -> None:
    from masklet.cli import options
    from masklet.cli.main import main
    from masklet.segmenter import Segmenter
    from support.gray_world import GrayWorld

    load = options.ModelOptions.load
    options.ModelOptions.load = lambda self: load(self) if "/" in self.model else Segmenter(GrayWorld())  # type: ignore[method-assign, misc]
    for line in sys.stdin:
        output = io.StringIO()
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(io.StringIO()):
            status = main(json.loads(line))
        print(json.dumps([status, output.getvalue()]), flush=True)


if __name__ == "__main__":
    _serve()

"""Runs of the command line that can be killed: one process loads everything once, then forks a child for each run.

As a program it answers requests, a line of JSON each: {"arguments": […], "signal": 9, "journal": "…", "frames": 3,
"after": 0.1} runs `masklet` with the arguments, sends the signal, if there is one, so many seconds after the journal
has so many frames, and answers {"status": …, "stderr": "…"}. The model is small, and small pictures make it quick.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


class Zygote:
    """The process, from the outside. `model` is loaded in it; every run gets it, whatever it asks for."""

    def __init__(self, model: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, *arguments: str | Path, kill: int | None = None, frames: int = 0, after: float = 0.0
    ) -> dict[str, Any]:
        """Run the command, its `--out` last; a status is negative where a signal ended it at once."""
        assert self._process.stdin and self._process.stdout
        words, journal = [str(word) for word in arguments], str(Path(arguments[-1]) / ".masklet/journal.jsonl")
        request = {"arguments": words, "signal": kill, "journal": journal, "frames": frames, "after": after}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def frames_in(journal: str | Path) -> int:
    """How many frames a journal has."""
    path = Path(journal)
    return path.read_bytes().count(b'{"frame": ') if path.exists() else 0


def _ended(child: int) -> bool:
    """Whether the child has ended; it stays to be waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _serve(model: str) -> None:
    import torch

    from masklet.cli import main, options
    from masklet.segmenter import load

    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
    torch.set_num_threads(1)
    segmenter = load(model, input_size=64)
    options.ModelOptions.load = lambda self: segmenter  # type: ignore[method-assign]
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as stderr:
            child = os.fork()
            if not child:
                os.dup2(stderr.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                sys.argv = ["masklet", *request["arguments"]]
                os._exit(main.main(request["arguments"]))
            if request["signal"]:
                while frames_in(request["journal"]) < request["frames"] and not _ended(child):
                    time.sleep(0.005)
                time.sleep(request["after"])
                os.kill(child, request["signal"])
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            stderr.seek(0)
            print(json.dumps({"status": status, "stderr": stderr.read().decode()}), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])

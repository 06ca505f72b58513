"""A process that runs the command line in forked children, which tests can kill.

It loads a model once. Each line of its stdin is a request in JSON: {"arguments": […], "signal": 9, "log": "…",
"frames": 3, "after": 0.1, "twice": false} runs `masklet` with the arguments in a child and, if there is a signal,
sends it `after` seconds after the frame log has the number of `frames`, and perhaps again. Each line of its stdout is
a result: {"status": …, "stderr": "…", "seconds": …, "orphans": …} with the seconds from the signal to the end, and
whether processes of the child remain.
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
    """The process. Every run uses the checkpoint `model` and ignores the model options."""

    def __init__(self, model: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self,
        *arguments: str | Path,
        kill: int | None = None,
        frames: int = 0,
        after: float = 0.0,
        twice: bool = False,
    ) -> dict[str, Any]:
        """Run a command whose last argument is its output folder; the status is negative if a signal ended it."""
        assert self._process.stdin and self._process.stdout
        words, log = [str(word) for word in arguments], str(Path(arguments[-1]) / ".masklet/journal.jsonl")
        request = {"arguments": words, "signal": kill, "log": log, "frames": frames, "after": after, "twice": twice}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        return result

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def count_frames(log: str | Path) -> int:
    """Return the number of frames in a frame log."""
    path = Path(log)
    return path.read_bytes().count(b'{"frame": ') if path.exists() else 0


def _has_ended(child: int) -> bool:
    """Return whether the child has ended, without reaping it."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _has_processes(group: int, timeout_s: float = 10.0) -> bool:
    """Return whether a group of processes still has any after some time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    return True


def _serve(model: str) -> None:
    import torch

    from masklet.cli import main, options
    from masklet.segmenter import load

    signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes ignore SIGINT
    torch.set_num_threads(1)
    segmenter = load(model, input_size=64)
    options.ModelOptions.load = lambda self: segmenter  # type: ignore[method-assign]
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as stderr:
            child = os.fork()
            if not child:
                os.setsid()  # a group of processes, which the child's own children belong to
                os.dup2(stderr.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                sys.argv = ["masklet", *request["arguments"]]
                os._exit(main.main(request["arguments"]))
            if request["signal"]:
                while count_frames(request["log"]) < request["frames"] and not _has_ended(child):
                    time.sleep(0.005)
                time.sleep(request["after"])
                os.kill(child, request["signal"])
                if request["twice"]:
                    time.sleep(0.02)
                    os.kill(child, request["signal"])
            started = time.monotonic()
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            stderr.seek(0)
            result = {"status": status, "stderr": stderr.read().decode(), "seconds": time.monotonic() - started}
            print(json.dumps({**result, "orphans": _has_processes(child)}), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])

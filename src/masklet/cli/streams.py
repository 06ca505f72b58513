"""Standard streams: the descriptors 0 to 2 of the process, which may be closed or broken."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from typing import TextIO

_IN_ASCII = {"→": "->", "≥": ">=", "≤": "<=", "≈": "~", "−": "-", "–": "-", "×": "x", "…": "...", "²": "2", "³": "3"}
"""How characters of our messages are written where the encoding of a stream does not have them."""


def open_standard_streams() -> None:
    """Open closed descriptors 0 to 2 on the null device.

    Services and cron may start a process without them. A file that is opened later would then get such a descriptor,
    and everything that is printed would be written to that file. Characters that the encoding of stdout or stderr does
    not have are written in ASCII.
    """
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)  # the lowest free descriptor, which is this one
            os.set_inheritable(opened, True)
    for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:  # Python found it closed
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    codecs.register_error("masklet", _write_in_ascii)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="masklet")


def _write_in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace the characters that an encoding does not have by similar ones, or else by escapes."""
    assert isinstance(error, UnicodeEncodeError), "the handler is of streams that are written"
    characters = error.object[error.start : error.end]
    escaped = (_IN_ASCII.get(one) or one.encode("ascii", "backslashreplace").decode() for one in characters)
    return "".join(escaped), error.end


def discard_stream(stream: TextIO) -> None:
    """Redirect stdout or stderr to the null device after an error, so that a later flush raises no further error."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as null:  # noqa: PTH123 - a device
        os.dup2(null.fileno(), stream.fileno())

"""Standard streams: the descriptors 0 to 2 of the process, which may be closed or broken."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO


def open_standard_streams() -> None:
    """Open closed descriptors 0 to 2 on the null device.

    Services and cron may start a process without them. A file that is opened later would then get such a descriptor,
    and everything that is printed would be written to that file. The streams escape characters that their encoding
    does not have.
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
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


def discard_stream(stream: TextIO) -> None:
    """Redirect stdout or stderr to the null device after an error, so that a later flush raises no further error."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as null:  # noqa: PTH123 - a device
        os.dup2(null.fileno(), stream.fileno())

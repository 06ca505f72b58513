"""Text files: lists and labels as editors and spreadsheets of any system write them."""

from __future__ import annotations

import codecs
from pathlib import Path

from masklet.files.open_input import open_input

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins with the mark of UTF-16, so it is compared first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(content: bytes) -> str:
    """Decode text in the encoding that its byte order mark tells, by default UTF-8, and remove the mark.

    Without a mark, text is UTF-16 if every second byte of the first four is NUL. Bytes of another encoding become
    U+FFFD.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    zeros = [byte == 0 for byte in content[:4]]
    if zeros in ([False, True] * 2, [True, False] * 2):
        return content.decode("utf-16-be" if zeros[0] else "utf-16-le", "replace")
    return content.decode("utf-8", "replace")


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file, without spaces around them. Raises `InputNotFound`."""
    with open_input(path) as handle:
        return [line.strip() for line in decode_text(handle.read()).splitlines()]

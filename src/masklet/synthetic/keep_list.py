"""Keep list of a folder of proposals: a text file in which a person writes the numbers of the correct proposals.

A line is `NAME: 1 church, 4 tree, 7`, with the name of an image and, for each kept proposal, its number and optionally
the name of the object. The name of the image ends at the last colon. Lines that begin with # are comments.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from masklet.errors import FormatError
from masklet.files.atomic import atomic_write, make_folder
from masklet.files.error_translation import translate_errors
from masklet.files.open_input import open_input

KEEP_LIST = "keep.txt"
DEFAULT_NAME = "object"  # name of objects without one
MAX_DIGITS = 9  # of the number of a proposal
HEADER = """\
# Look at the sheets. After the name of each image, write the numbers of the correct proposals, each with the name of
# the object if you like: castle.jpg: 1 tower, 4 tree, 7
"""


def read_keep_list(folder: Path) -> dict[str, dict[int, str]]:
    """Read the keep list of a folder.

    Returns:
        For each image the names of the kept objects, by number of the proposal. Empty if there is no list.

    Raises:
        InputNotFound: The list cannot be read.
        FormatError: A line is invalid. The message has its number.
    """
    path = folder / KEEP_LIST
    lists: dict[str, dict[int, str]] = {}
    for number, line in enumerate(_read_text(path).splitlines() if path.exists() else (), start=1):
        if line.strip() and not line.startswith("#"):
            with translate_errors(ValueError, into=partial(_make_line_error, path, number)):
                name, objects = _parse_line(line)
                if name in lists:
                    raise ValueError(f"{name!r} already has a line; write its numbers into one line")
                lists[name] = objects
    return lists


def extend_keep_list(folder: Path, names: Iterable[str]) -> Path:
    """Add a line for each image that has none, and return the file. Existing lines stay.

    Raises the errors of `read_keep_list`, and `ResourceError` if the file cannot be written.
    """
    path, known = folder / KEEP_LIST, read_keep_list(folder)
    text = _read_text(path) if path.exists() else HEADER
    new = [f"{name}:\n" for name in names if name not in known]
    make_folder(folder)
    with atomic_write(path) as handle:
        handle.write((text + "\n" * (not text.endswith("\n")) + "".join(new)).encode())
    return path


def can_be_listed(name: str) -> bool:
    """Return whether a line of the list can begin with this name of an image."""
    return name.isprintable() and name == name.strip() and not name.startswith("#")


def _parse_line(line: str) -> tuple[str, dict[int, str]]:
    """Parse a line into the name of the image, and the names of the kept objects by number."""
    name, _, entries = line.rpartition(":")
    objects: dict[int, str] = {}
    for entry in filter(str.strip, entries.split(",")):
        number, *words = entry.split(maxsplit=1)
        if not name or not number.isdecimal() or len(number) > MAX_DIGITS:
            raise ValueError(f"expected NAME: 1, 4 tree, 7, with no colon after that of the name, got {line.strip()!r}")
        if int(number) in objects:
            raise ValueError(f"{number} is listed twice; write each number once")
        objects[int(number)] = (words or [DEFAULT_NAME])[0].strip()
    return name.strip(), objects


def _read_text(path: Path) -> str:
    with open_input(path) as handle:
        content = handle.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        message = f"{path} is not UTF-8 text ({cause}); save it as UTF-8"
        raise FormatError("annotation-broken", message, path=str(path)) from cause


def _make_line_error(path: Path, line: int, cause: ValueError) -> FormatError:
    return FormatError("annotation-broken", f"{path}, line {line}: {cause}", path=str(path), line=line)

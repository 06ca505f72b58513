"""Names of files that are read from a file, checked before they become part of a path.

A dataset, a list or a manifest may come from an untrusted source. A name in it that leads out of its folder would make
masklet read, write or delete files elsewhere. Every reader calls `check_name` or `check_relative` for such a name.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from masklet.errors import FormatError, InputNotFound

MAX_NAME_BYTES = 255
"""Limit of one component of a path on ext4, XFS, APFS and NTFS."""
MAX_PATH_BYTES = 4096
"""Limit of a whole path on Linux."""

_SHOWN = 60  # characters of a name in a message
_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE | re.DOTALL)
"""Names of devices on Windows, in any folder and with any suffix."""
_NOT_ON_WINDOWS = re.compile(r'[\x00-\x1f"*:<>?|]')
_SURROGATES = re.compile("[\ud800-\udfff]")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def replace_surrogates(text: str) -> str:
    """Replace each byte of a file's name that is not UTF-8 by U+FFFD, since text files are UTF-8.

    Python has such a byte as a lone surrogate. JSON files need no replacement: they hold it as an escape.
    """
    return _SURROGATES.sub("\ufffd", text)


def replace_non_xml(text: str) -> str:
    """Replace what XML cannot hold by U+FFFD: lone surrogates and control characters, as names of files may have."""
    return _NOT_IN_XML.sub("\ufffd", text)


def clean_file_name(name: Any) -> Any:
    """Return a file name with slashes for the backslashes of Windows, and without parts that are `.`."""
    if not isinstance(name, str):
        return name
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part != ".") if len(parts) > 1 else name


def check_name(name: object, source: object) -> str:
    """Return `name` after checking that it is a single component of a path and does not lead elsewhere.

    Args:
        name: A value from a file: the name of a clip, a frame or a file, without folders.
        source: The file that holds the name. Only the error message uses it.

    Raises:
        FormatError: `dataset-broken`. The name is not text, is empty, consists of dots and spaces, begins with a drive
            letter, or holds a slash, a backslash, a NUL or a lone surrogate.
        InputNotFound: `input-unreadable`. The name is longer than `MAX_NAME_BYTES`, or Windows runs and reserves it, so
            no file has it.
    """
    text = _require_text(name, source)
    if "/" in text:
        raise _refuse(text, source, "holds a slash")
    _check_component(text, text, source)
    return text


def check_relative(name: object, source: object) -> str:
    """Return `name` after checking that it is a relative path, separated by `/`, that stays below its folder.

    Args:
        name: A value from a file, such as COCO's `file_name`: the name of a file, with or without folders.
        source: The file that holds the name. Only the error message uses it.

    Raises:
        FormatError: `dataset-broken`. The path is absolute, or `check_name` refuses one of its components.
        InputNotFound: `input-unreadable`. The path is longer than `MAX_PATH_BYTES`, or one of its components than
            `MAX_NAME_BYTES`, or Windows runs and reserves a component, so no file has it.
    """
    text = _require_text(name, source)
    if text.startswith("/"):
        raise _refuse(text, source, "is an absolute path")
    for component in text.split("/"):
        _check_component(component, text, source)
    if _count_bytes(text) > MAX_PATH_BYTES:
        raise _too_long(text, source, MAX_PATH_BYTES)
    return text


def _require_text(name: object, source: object) -> str:
    """Return `name` after checking that it is text, is valid in UTF-8 and does not begin with a drive letter."""
    if not isinstance(name, str):
        raise _refuse(name, source, "is not text")
    try:
        _count_bytes(name)
    except UnicodeEncodeError as cause:
        raise _refuse(name, source, "holds half of a surrogate pair") from cause
    if name[1:2] == ":":  # Windows accepts any character as a drive
        raise _refuse(name, source, "begins with a drive letter")
    return name


def _check_component(component: str, name: str, source: object) -> None:
    """Raise for a component that is not a plain name; Windows removes dots and spaces at its end."""
    if not component:
        raise _refuse(name, source, "has an empty part" if name else "is empty")
    if not component.strip(". "):
        raise _refuse(name, source, f"has the part {component[:_SHOWN]!r}")
    for character, description in (("\\", "a backslash"), ("\0", "a NUL character")):
        if character in component:
            raise _refuse(name, source, f"holds {description}")
    if _count_bytes(component) > MAX_NAME_BYTES:
        raise _too_long(name, source, MAX_NAME_BYTES)
    if sys.platform == "win32":
        _check_on_windows(component, name, source)


def _check_on_windows(component: str, name: str, source: object) -> None:
    """Raise for a component that Windows reads as a device, as a stream of another file, or without its end."""
    reason = ""
    if _DEVICES.fullmatch(component):
        reason = "it is that of a device"
    elif component.endswith((".", " ")):
        reason = "it ends with a dot or a space"
    elif character := _NOT_ON_WINDOWS.search(component):
        reason = f"it holds {character[0]!r}"
    if reason:
        message = f"{source}: Windows has no files with the name {_shorten(name)}: {reason}; rename the file"
        raise InputNotFound("input-unreadable", message, path=str(source))


def _count_bytes(text: str) -> int:
    """Count the bytes of a name in the file system; each escaped byte of another encoding counts as one."""
    return len(text.encode("utf-8", "surrogateescape"))


def _refuse(name: object, source: object, reason: str) -> FormatError:
    message = f"{source}: the name {_shorten(name)} {reason}; names in a file must stay within its folders"
    return FormatError("dataset-broken", message, path=str(source))


def _too_long(name: str, source: object, limit: int) -> InputNotFound:
    message = f"{source}: no file can have the name {_shorten(name)}: {_count_bytes(name)} bytes, of at most {limit}"
    return InputNotFound("input-unreadable", message, path=str(source))


def _shorten(name: object) -> str:
    text = repr(name)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

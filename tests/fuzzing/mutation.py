"""Mutations of files: of bytes, of numbers in text, of JSON values, and of lines.

Every function takes a random generator, so that a seed reproduces its inputs, and hypothesis can control the choices.
"""

from __future__ import annotations

import contextlib
import json
import re
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

INTEGERS = (0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63, 10**30)
VALUES: tuple[Any, ...] = (
    *INTEGERS,
    *(0.5, -0.5, 1e-9, 1e9, 1e300, float("nan"), float("inf"), float("-inf")),
    *(None, True, False, "", "0", "1", "-1", "x", "\0", "\ud800", "../x", "/etc/passwd", "é" * 300, "名", "a\nb"),
    *([], {}, [[]], [None], {"a": 1}, [0, 0], [1, 2, 3, 4], ["a"], [[0, 0], [9, 0], [9, 9]]),
)
TEXTS = (
    "",
    "0",
    "-1",
    "nan",
    "inf",
    "1e999",
    "99999999999999999999",
    "x",
    "\0",
    "\ufeff",
    "\r\n",
    " ",
    "<",
    "&#0;",
    "é",
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_HUGE = 1 << 22  # bytes; growing inputs stop here


def mutate_bytes(content: bytes, rng: Random) -> bytes:
    """Change, remove, repeat or move bytes, edit numbers of 2 to 8 bytes, or cut the end, in 1 to 20 places."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 20))):
        if not data:
            break
        rng.choice(_BYTE_EDITS)(data, rng)
        del data[_HUGE:]
    return bytes(data)


def mutate_head(content: bytes, rng: Random) -> bytes:
    """Mutate only the first 4 KiB, where most formats have their sizes and offsets."""
    return mutate_bytes(content[:4096], rng) + content[4096:]


def mutate_text(content: bytes, rng: Random) -> bytes:
    """Replace numbers and words of a text, and remove, repeat or exchange its lines."""
    if rng.random() < 0.15:
        return mutate_bytes(content, rng)
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = rng.choice(_TEXT_EDITS)(content, rng)
    return content[:_HUGE]


def mutate_json(content: bytes, rng: Random) -> bytes:
    """Replace, remove, repeat, move or wrap values of a JSON document."""
    if rng.random() < 0.1:
        return mutate_bytes(content, rng)
    document = mutate_value(json.loads(content), rng)
    return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def mutate_value(document: Any, rng: Random) -> Any:
    """Return a changed copy of a JSON value."""
    holder = [json.loads(json.dumps(document))]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _edit_value(holder, rng)
        holder = json.loads(json.dumps(holder))  # repeated values are values of their own
    return holder[0] if holder else None


def mutate_lines(mutate: Callable[[bytes, Random], bytes]) -> Callable[[bytes, Random], bytes]:
    """Return a mutation that changes one line with `mutate`, or removes, repeats, exchanges or cuts lines."""

    def change(content: bytes, rng: Random) -> bytes:
        lines = content.splitlines(keepends=True)
        kind = rng.randrange(5)
        if not lines or kind == 0:
            return mutate_bytes(content, rng)
        place = rng.randrange(len(lines))
        if kind in (1, 2):
            with contextlib.suppress(ValueError):
                lines[place] = mutate(lines[place].rstrip(b"\n"), rng) + b"\n"
            return b"".join(lines)
        return _edit_lines(content, rng)

    return change


def mutate_checked_json(content: bytes, rng: Random) -> bytes:
    """Mutate the JSON of a line that begins with its CRC-32 in hexadecimal, and compute the checksum again."""
    text = mutate_json(content[9:], rng).replace(b"\n", b" ")
    return b"%08x %s" % (zlib.crc32(text), text)


def mutate_safetensors(content: bytes, rng: Random) -> bytes:
    """Mutate the JSON header of a safetensors file and state its new length, or mutate the bytes."""
    if rng.random() < 0.5 or len(content) < 8:
        return mutate_bytes(content, rng)
    (length,) = struct.unpack("<Q", content[:8])
    header = mutate_json(content[8 : 8 + length], rng)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def _set_byte(data: bytearray, rng: Random) -> None:
    data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _flip_bit(data: bytearray, rng: Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_number(data: bytearray, rng: Random) -> None:
    """Replace a number, of which many are lengths and offsets, by a limit, or add to it."""
    size = rng.choice((2, 4, 4, 8))
    place = rng.randrange(len(data))
    order = rng.choice(("big", "little"))
    old = int.from_bytes(data[place : place + size], order)  # type: ignore[arg-type]
    new = rng.choice((*INTEGERS, old + 1, old - 1, old * 2, old // 2, len(data), old + rng.randrange(-99, 99)))
    data[place : place + size] = (new % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]


def _remove(data: bytearray, rng: Random) -> None:
    place = rng.randrange(len(data))
    del data[place : place + rng.choice((1, 2, 4, 16, 64, 1000))]


def _repeat(data: bytearray, rng: Random) -> None:
    place, length = rng.randrange(len(data)), rng.choice((1, 4, 16, 100, 5000))
    data[place:place] = data[place : place + length] * rng.choice((1, 1, 2, 50))


def _splice(data: bytearray, rng: Random) -> None:
    source, target = rng.randrange(len(data)), rng.randrange(len(data))
    part = data[source : source + rng.choice((4, 16, 256))]
    data[target : target + len(part)] = part


def _cut(data: bytearray, rng: Random) -> None:
    del data[rng.randrange(len(data)) :]


def _fill(data: bytearray, rng: Random) -> None:
    place = rng.randrange(len(data))
    data[place : place + 32] = bytes([rng.choice((0, 0xFF, 0x20))]) * min(32, len(data) - place)


_BYTE_EDITS = (
    _set_byte,
    _set_byte,
    _flip_bit,
    _flip_bit,
    _set_number,
    _set_number,
    _remove,
    _repeat,
    _splice,
    _cut,
    _fill,
)


def _replace_number(content: bytes, rng: Random) -> bytes:
    found = [*_NUMBER.finditer(content)]
    if not found:
        return content
    match = rng.choice(found)
    text = str(rng.choice((*INTEGERS, 0.5, 1e300, *TEXTS))).encode()
    return content[: match.start()] + text + content[match.end() :]


def _insert_text(content: bytes, rng: Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(TEXTS).encode() + content[place:]


def _edit_lines(content: bytes, rng: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    place, other, kind = rng.randrange(len(lines)), rng.randrange(len(lines)), rng.randrange(4)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(other, lines[place])
    elif kind == 2:
        lines[place], lines[other] = lines[other], lines[place]
    else:
        lines[place] = lines[place][: rng.randrange(len(lines[place]) + 1)]
    return b"".join(lines)


def _replace_word(content: bytes, rng: Random) -> bytes:
    """Replace a word by another word of the text."""
    words = [*re.finditer(rb"[\w.:/-]+", content)]
    if not words:
        return content
    match, other = rng.choice(words), rng.choice(words)
    return content[: match.start()] + other[0] + content[match.end() :]


_TEXT_EDITS = (_replace_number, _replace_number, _replace_number, _insert_text, _edit_lines, _replace_word)


def _edit_value(holder: list[Any], rng: Random) -> None:
    places = [*_list_places(holder)]
    if not places:
        return
    box, key = rng.choice(places)
    kind = rng.randrange(9)
    if kind == 0:
        del box[key]
    elif kind == 1:
        box[key] = [box[key]]
    elif kind == 2 and isinstance(box[key], list) and box[key]:
        box[key] = box[key] * rng.choice((2, 3, 100))
    elif kind == 3:
        other, name = rng.choice(places)
        box[key] = json.loads(json.dumps(other[name])) if other is not holder else box[key]
    elif kind == 4 and isinstance(box, dict):
        box[rng.choice(("", "id", "size", "\ud800", "0", key + "x"))] = box.pop(key)
    elif kind == 5 and isinstance(box[key], int | float) and not isinstance(box[key], bool):
        box[key] = box[key] * rng.choice((-1, 2, 1.5, 1000)) + rng.choice((0, 1, -1))
    else:
        box[key] = rng.choice(VALUES)


def _list_places(box: Any) -> Any:
    """Yield every container of a JSON value with each of its keys or positions."""
    items = enumerate(box) if isinstance(box, list) else box.items()
    for key, value in items:
        yield box, key
        if isinstance(value, list | dict):
            yield from _list_places(value)

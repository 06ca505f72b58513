"""Run-length codes as COCO writes them: a mask as the lengths of its runs, read column by column."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, PromptError

MAX_PIXELS = 2**29  # of the masks that one call decodes: half a gigabyte, or one mask of 23,000 × 23,000 pixels
_LONGEST = 7  # characters of 5 bits per run: 35 bits, more than any run of a mask needs


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The compressed code of a mask (H, W): `{"size": [H, W], "counts": "…"}`, as pycocotools writes it."""
    if mask.ndim != 2 or 0 in mask.shape:
        raise PromptError("mask-shape", f"a mask must be (H, W), got shape {mask.shape}")
    columns = cv2.transpose(np.ascontiguousarray(mask, dtype=bool).view(np.uint8)).ravel()
    changes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    counts = np.diff(changes, prepend=0, append=columns.size)
    if columns[0]:  # the first run is background, if need be an empty one
        counts = np.insert(counts, 0, 0)
    return {"size": list(mask.shape), "counts": _compressed(counts)}


def decode(code: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The mask (H, W) of a code, compressed (`counts` str or bytes) or not (a list of run lengths).

    Raises `FormatError` (`bad-rle`), before the mask is allocated, for what is no code of a mask of its size.
    """
    (height, width), counts = runs(code)
    colours = np.arange(len(counts), dtype=np.uint8) & 1
    columns = np.repeat(colours, counts).reshape(width, height)
    return np.asarray(cv2.transpose(columns)).view(bool)


def decode_all(codes: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    """The masks (N, H, W) of one or more codes of one picture; `MAX_PIXELS` holds for all together."""
    sizes = sorted({_size(code) for code in codes})
    if len(sizes) != 1:
        raise _bad(f"codes must be of one picture, got sizes {sizes}")
    height, width = sizes[0]
    if len(codes) * height * width > MAX_PIXELS:
        raise _bad(f"{len(codes)} masks of {height} × {width} have over {MAX_PIXELS} pixels; decode fewer at once")
    return np.stack([decode(code) for code in codes])


def area(code: Mapping[str, Any]) -> int:
    """How many pixels the mask of a code has; the mask is not decoded."""
    return int(runs(code)[1][1::2].sum())


def box(code: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """The box of a code's mask, xyxy at pixel edges, zeros if it is empty; the mask is not decoded."""
    (height, _), counts = runs(code)
    stops = np.cumsum(counts)
    runs_of_object = counts[1::2] > 0
    first, last = (stops - counts)[1::2][runs_of_object], stops[1::2][runs_of_object] - 1
    if not len(first):
        return 0, 0, 0, 0
    left, right = int(first[0] // height), int(last[-1] // height) + 1
    if (first // height != last // height).any():  # a run that goes on in the next column touches bottom and top
        return left, 0, right, height
    return left, int((first % height).min()), right, int((last % height).max()) + 1


def xywh(code: Mapping[str, Any]) -> list[int]:
    """The box of a code's mask as COCO has it: left, top, width, height."""
    x0, y0, x1, y1 = box(code)
    return [x0, y0, x1 - x0, y1 - y0]


def runs(code: Mapping[str, Any]) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """The size (H, W) of a code and its run lengths, background first: checked, they fill the mask exactly."""
    height, width = size = _size(code)
    counts = code.get("counts")
    lengths = _decompressed(counts, height * width) if isinstance(counts, str | bytes) else _listed(counts)
    total = int(lengths.sum()) if (lengths >= 0).all() and (lengths <= height * width).all() else -1
    if total != height * width:
        found = f"add up to {total}" if total >= 0 else "are negative or too long"
        raise _bad(f"run lengths {found}, but a mask of {height} × {width} has {height * width} pixels")
    return size, lengths


def _size(code: Mapping[str, Any]) -> tuple[int, int]:
    try:
        height, width = (operator.index(side) for side in code["size"])
    except (KeyError, TypeError, ValueError) as cause:
        raise _bad('a code must be {"size": [height, width], "counts": …} with whole numbers as size') from cause
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise _bad(f"a mask of {height} × {width} cannot be decoded; it may have 1 to {MAX_PIXELS} pixels")
    return height, width


def _listed(counts: Any) -> NDArray[np.int64]:
    try:
        lengths = np.asarray(counts)
    except ValueError as cause:
        raise _bad("the run lengths are not a list of numbers") from cause
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise _bad(f"counts must be text or a list of whole numbers, got {type(counts).__name__} of {lengths.dtype}")
    return lengths.astype(np.int64)


def _compressed(counts: NDArray[np.int64]) -> str:
    """Signed differences to the run before last, 5 bits per character, lowest first; 0x20 says that more follow."""
    values = counts.copy()
    values[3:] -= counts[1:-2]
    characters = np.zeros((len(values), _LONGEST), np.uint8)
    present = np.ones((len(values), _LONGEST + 1), bool)
    for place in range(_LONGEST):
        bits, values = values & 31, values >> 5
        present[:, place + 1] = present[:, place] & (values != np.where(bits & 16, -1, 0))
        characters[:, place] = bits + 32 * present[:, place + 1] + 48
    return characters[present[:, :-1]].tobytes().decode("ascii")


def _decompressed(text: str | bytes, pixels: int) -> NDArray[np.int64]:
    code = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if not 0 < len(code) <= _LONGEST * (pixels + 1):
        raise _bad(f"counts of {len(code)} characters cannot be a mask of {pixels} pixels")
    groups = np.frombuffer(code, np.uint8)
    if groups.min() < 48 or groups.max() > 111:
        raise _bad("counts hold a character that no compressed code has")
    groups = groups - np.uint8(48)
    stops = np.flatnonzero(groups < 32) + 1
    lengths = np.diff(stops, prepend=0)
    if groups[-1] >= 32 or lengths.max() > _LONGEST:
        raise _bad("counts end in the middle of a run length" if groups[-1] >= 32 else "counts hold a run without end")
    return _joined(groups, stops, lengths)


def _joined(groups: NDArray[np.uint8], stops: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Run lengths from groups of 5 bits, where `lengths` groups that end before `stops` make one number."""
    starts = stops - lengths
    place = np.arange(len(groups)) - np.repeat(starts, lengths)
    values = np.add.reduceat((groups & 31).astype(np.int64) << (5 * place), starts)
    values -= np.where(groups[stops - 1] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _bad(message: str) -> FormatError:
    return FormatError("bad-rle", message)

"""RLE (run-length encoding) of masks as COCO writes it: lengths of runs, counted column by column."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, PromptError

MAX_PIXELS = 2**29  # of all masks that one call decodes: 512 MiB, or one mask of 23,170 × 23,170 pixels
_MAX_CHARACTERS = 7  # per run, of 5 bits each: 35 bits, more than any run of a mask needs


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask (H, W) as compressed RLE, `{"size": [H, W], "counts": "…"}`, equal to pycocotools.

    Raises:
        PromptError: `mask-shape`. The array is not (H, W) or has no pixels.
    """
    if mask.ndim != 2 or 0 in mask.shape:
        raise PromptError("mask-shape", f"a mask must be (H, W), got shape {mask.shape}")
    columns = cv2.transpose(np.ascontiguousarray(mask, dtype=bool).view(np.uint8)).ravel()
    changes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    counts = np.diff(changes, prepend=0, append=columns.size)
    if columns[0]:  # the first run is background, here of length 0
        counts = np.insert(counts, 0, 0)
    return {"size": list(mask.shape), "counts": _compress(counts)}


def decode(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Decode a mask.

    Args:
        rle: COCO's RLE, `{"size": [H, W], "counts": …}`: counts are str or bytes if compressed, else a list of lengths.

    Returns:
        The mask (H, W).

    Raises:
        FormatError: `bad-rle`, before the mask is allocated. The RLE is malformed or does not fill a mask of its size.
    """
    (height, width), counts = read_runs(rle)
    values = np.arange(len(counts), dtype=np.uint8) & 1
    columns = np.repeat(values, counts).reshape(width, height)
    return np.asarray(cv2.transpose(columns)).view(bool)


def decode_all(rles: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    """Decode N ≥ 1 masks of one image as (N, H, W). Raises `FormatError`, also for over `MAX_PIXELS` pixels in all."""
    sizes = sorted({_read_size(rle) for rle in rles})
    if len(sizes) != 1:
        raise _error(f"the masks must be of one image, got sizes {sizes}")
    height, width = sizes[0]
    if len(rles) * height * width > MAX_PIXELS:
        raise _error(f"{len(rles)} masks of {height} × {width} have over {MAX_PIXELS} pixels; decode fewer at once")
    return np.stack([decode(rle) for rle in rles])


def compute_area(rle: Mapping[str, Any]) -> int:
    """Count the pixels of a mask without decoding it. Raises `FormatError`."""
    return int(read_runs(rle)[1][1::2].sum())


def compute_box(rle: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Compute the bounding box of a mask without decoding it: xyxy at pixel edges, zeros if it is empty.

    Raises:
        FormatError: `bad-rle`, as in `decode`.
    """
    (height, _), counts = read_runs(rle)
    stops = np.cumsum(counts)
    foreground = counts[1::2] > 0
    first, last = (stops - counts)[1::2][foreground], stops[1::2][foreground] - 1
    if not len(first):
        return 0, 0, 0, 0
    left, right = int(first[0] // height), int(last[-1] // height) + 1
    if (first // height != last // height).any():  # a run that continues in the next column touches bottom and top
        return left, 0, right, height
    return left, int((first % height).min()), right, int((last % height).max()) + 1


def compute_coco_box(rle: Mapping[str, Any]) -> list[int]:
    """Compute the bounding box of a mask as COCO writes it: left, top, width, height. Raises `FormatError`."""
    x0, y0, x1, y1 = compute_box(rle)
    return [x0, y0, x1 - x0, y1 - y0]


def read_runs(rle: Mapping[str, Any]) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """Return the size (H, W) and the run lengths, background first, after checking that they fill the mask exactly.

    Raises:
        FormatError: `bad-rle`, as in `decode`.
    """
    height, width = size = _read_size(rle)
    counts = rle.get("counts")
    lengths = _decompress(counts, height * width) if isinstance(counts, str | bytes) else _read_lengths(counts)
    total = int(lengths.sum()) if (lengths >= 0).all() and (lengths <= height * width).all() else -1
    if total != height * width:
        problem = f"add up to {total}" if total >= 0 else "are negative or too long"
        raise _error(f"run lengths {problem}, but a mask of {height} × {width} has {height * width} pixels")
    return size, lengths


def _read_size(rle: Mapping[str, Any]) -> tuple[int, int]:
    try:
        height, width = (operator.index(side) for side in rle["size"])
    except (KeyError, TypeError, ValueError) as cause:
        raise _error('an RLE must be {"size": [height, width], "counts": …} with a size of whole numbers') from cause
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise _error(f"a mask of {height} × {width} cannot be decoded; it may have 1 to {MAX_PIXELS} pixels")
    return height, width


def _read_lengths(counts: Any) -> NDArray[np.int64]:
    try:
        lengths = np.asarray(counts)
    except ValueError as cause:
        raise _error("the run lengths are not a list of numbers") from cause
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise _error(f"counts must be text or a list of whole numbers, got {type(counts).__name__} of {lengths.dtype}")
    return lengths.astype(np.int64)


def _compress(counts: NDArray[np.int64]) -> str:
    """Write run lengths as COCO does.

    Each number is the signed difference to the length before last, in characters of 5 bits, lowest first; bit 0x20
    marks a character that another one follows.
    """
    values = counts.copy()
    values[3:] -= counts[1:-2]
    characters = np.zeros((len(values), _MAX_CHARACTERS), np.uint8)
    present = np.ones((len(values), _MAX_CHARACTERS + 1), bool)
    for place in range(_MAX_CHARACTERS):
        bits, values = values & 31, values >> 5
        present[:, place + 1] = present[:, place] & (values != np.where(bits & 16, -1, 0))
        characters[:, place] = bits + 32 * present[:, place + 1] + 48
    return characters[present[:, :-1]].tobytes().decode("ascii")


def _decompress(text: str | bytes, pixels: int) -> NDArray[np.int64]:
    characters = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if not 0 < len(characters) <= _MAX_CHARACTERS * (pixels + 1):
        raise _error(f"counts of {len(characters)} characters cannot be a mask of {pixels} pixels")
    groups = np.frombuffer(characters, np.uint8)
    if groups.min() < 48 or groups.max() > 111:
        raise _error("counts hold a character that compressed RLE does not have")
    groups = groups - np.uint8(48)
    stops = np.flatnonzero(groups < 32) + 1
    lengths = np.diff(stops, prepend=0)
    if groups[-1] >= 32 or lengths.max() > _MAX_CHARACTERS:
        raise _error(
            "counts end in the middle of a run length"
            if groups[-1] >= 32
            else "counts hold a run length that is too long"
        )
    return _join_groups(groups, stops, lengths)


def _join_groups(groups: NDArray[np.uint8], stops: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compute run lengths from groups of 5 bits; each number has `lengths` groups, which end before `stops`."""
    starts = stops - lengths
    place = np.arange(len(groups)) - np.repeat(starts, lengths)
    values = np.add.reduceat((groups & 31).astype(np.int64) << (5 * place), starts)
    values -= np.where(groups[stops - 1] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _error(message: str) -> FormatError:
    return FormatError("bad-rle", message)

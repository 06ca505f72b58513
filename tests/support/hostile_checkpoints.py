"""Corpus of damaged, unsafe and unsupported checkpoint files, each with the code of its error."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from masklet.checkpoints import write_released

_FLOAT_STORAGE = b"ctorch\nFloatStorage\n"
_REBUILD_TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
VALUES = np.arange(12, dtype="<f4").tobytes()
_WEIGHTS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(5, np.float16)}


class Case(NamedTuple):
    """The content of a file and the code of its error."""

    name: str
    content: bytes
    code: str


class _Exploit:
    """An object that creates the canary file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.canary}'",)


def write_corpus(folder: Path, canary: Path) -> list[tuple[Case, Path]]:
    """Write every case into the folder. Code in a file would create the file `canary` if it were run."""
    sound = write_sound_file(folder)
    cases = [
        *_list_other_kinds(canary),
        *_list_pickles(canary),
        *_list_tensor_descriptions(),
        *_list_archives(sound),
        *_list_nonfinite_weights(folder),
        *_list_safetensors(),
    ]
    written = []
    for case in cases:
        path = folder / f"{case.name}.pt"
        path.write_bytes(case.content)
        written.append((case, path))
    return written


def write_sound_file(folder: Path) -> bytes:
    """Write a valid checkpoint `good.pt` and return its content."""
    write_released(folder / "good.pt", _WEIGHTS)
    return (folder / "good.pt").read_bytes()


def _list_other_kinds(canary: Path) -> Iterator[Case]:
    """List files of other kinds than checkpoints."""
    yield Case("empty", b"", "input-empty")
    yield Case("html", b"<!DOCTYPE html><html>Not found</html>", "checkpoint-html")
    yield Case("html-late", b"\n  <!-- cached -->\n<HTML><body>Log in</body></HTML>", "checkpoint-html")
    yield Case("xml-error", b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "checkpoint-html")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 156008466\n"
    yield Case("lfs-pointer", pointer, "checkpoint-lfs-pointer")
    yield Case("tar", _make_tar({"pickle": pickle.dumps(_Exploit(canary), 2), "storages": b""}), "checkpoint-tar")
    for protocol in range(6):
        bare = pickle.dumps({"model": _Exploit(canary)} if protocol > 1 else _Exploit(canary), protocol)
        yield Case(f"bare-pickle-{protocol}", bare, "checkpoint-bare-pickle")
    yield Case("torchscript", make_zip({"m/data.pkl": b"\x80\x02}.", "m/code/a.py": b"1"}), "checkpoint-torchscript")
    yield Case("torchscript-constants", make_zip({"m/data.pkl": b"", "m/constants.pkl": b""}), "checkpoint-torchscript")
    yield Case("zip-of-a-zip", make_zip({"good.pt": make_zip({"m/data.pkl": b""})}), "checkpoint-unknown-format")
    yield Case("zip-empty", make_zip({}), "checkpoint-unknown-format")
    yield Case("npz", _make_npz(), "checkpoint-unknown-format")
    for name, head in (
        ("png", b"\x89PNG\r\n\x1a\n"),
        ("gzip", b"\x1f\x8b\x08\x00"),
        ("text", b"hello"),
        ("short", b"PK"),
    ):
        yield Case(name, head, "checkpoint-unknown-format")


def _list_pickles(canary: Path) -> Iterator[Case]:
    """List pickles that would run code or use more than weights need, and broken ones."""
    for protocol in range(6):
        program = pickle.dumps({"model": {"a": 1.5, "b": _Exploit(canary)}}, protocol)
        yield Case(f"reduce-{protocol}", make_checkpoint(program), "unsafe-pickle")
    touch = b"X" + struct.pack("<I", len(str(canary)) + 6) + b"touch " + str(canary).encode()
    evil = b"cposix\nsystem\n" + touch + b"\x85R"
    for name, program in {
        "eval": b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        "getattr": b"\x80\x02cbuiltins\ngetattr\ncos\nsystem\n\x85R.",
        "inst": b"(S'true'\nios\nsystem\n.",
        "inst-first": b"(ios\nsystem\n.",
        "obj": b"\x80\x02(cposix\nsystem\n" + touch + b"o.",
        "newobj": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        "stack-global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + touch + b"\x85R.",
        "stack-global-dotted": b"\x80\x04\x8c\x05torch\x8c\x0fos.system.__len\x93.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent-id-0": b"P0\n.",
        "build-on-a-list": b"\x80\x02]}b.",
        "build-a-setstate": b"\x80\x02" + _ORDERED_DICT + b"]b.",
        "call-of-a-storage": b"\x80\x02" + _FLOAT_STORAGE + b")R.",
        "call-of-a-dict": b"\x80\x02})R.",
        "sparse": b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\n)R.",
        "numpy-scalar": b"\x80\x02cnumpy.core.multiarray\nscalar\n)R.",
        "torch-load": b"\x80\x02ctorch\nload\n)R.",
        "evil-after-the-weights": pickle_weights()[:-1] + b"0" + evil + b".",
        "evil-beside-the-weights": b"\x80\x02}("
        + pickle_text("model")
        + pickle_weights()[2:-1]
        + pickle_text("optimizer")
        + evil
        + b"u.",
        "evil-key": b"\x80\x02}(" + evil + b"K\x01u.",
        "evil-hooks": pickle_weights(hooks=evil),
        "evil-metadata": pickle_weights(hooks=_ORDERED_DICT + evil),
    }.items():
        yield Case(name, make_checkpoint(program), "unsafe-pickle")
    for name, program in {
        "pickle-empty": b"",
        "pickle-cut": b"\x80\x02}q",
        "pickle-underflow": b"\x80\x02\x86.",
        "pickle-no-mark": b"\x80\x02}u.",
        "pickle-no-memo": b"\x80\x02h\x09.",
        "pickle-two-values": b"\x80\x02}}.",
        "pickle-open-mark": b"\x80\x02(}.",
        "pickle-trailing": b"\x80\x02}.}.",
        "pickle-long-text": b"\x80\x02X\xff\xff\xff\xff.",
        "pickle-bad-text": b"\x80\x02X\x02\x00\x00\x00\xff\xff.",
        "pickle-odd-items": b"\x80\x02}(K\x01u.",
        "pickle-append-to-a-dict": b"\x80\x02}K\x01a.",
        "pickle-set-in-a-list": b"\x80\x02]K\x01K\x02s.",
        "pickle-key-of-nested-tuples": b"\x80\x02}" + b")" + b"q\x00h\x00\x86" * 200 + b"K\x01s.",
    }.items():
        yield Case(name, make_checkpoint(program), "checkpoint-corrupt")
    yield Case("pickle-endless", make_checkpoint(b"\x80\x02" + b"N" * 500_001 + b"."), "checkpoint-bomb")
    yield Case(
        "pickle-enormous",
        make_checkpoint(b"\x80\x02X" + struct.pack("<I", 17 << 20) + b"a" * (17 << 20)),
        "checkpoint-bomb",
    )
    for name, program in {
        "no-weights": b"\x80\x02K\x01.",
        "no-weights-in-the-model": b"\x80\x02}" + pickle_text("model") + b"}s.",
        "a-lone-tensor": _pickle_tensor() + b".",
        "itself-as-the-model": b"\x80\x02}q\x00" + pickle_text("model") + b"h\x00s.",
    }.items():
        yield Case(name, make_checkpoint(program), "checkpoint-mismatch")


def _list_tensor_descriptions() -> Iterator[Case]:
    """List tensors that do not fit their storage."""
    for name, wrong in {
        "view-expanded": {"shape": (1000, 1000, 1000), "strides": (0, 0, 0)},
        "view-repeated": {"shape": (3, 4, 2), "strides": (4, 1, 0)},
        "view-too-long": {"shape": (4, 4), "strides": (4, 1)},
        "view-overlapping": {"shape": (6, 6), "strides": (1, 1)},
        "view-beyond": {"offset": 1},
        "view-before": {"offset": -1},
        "view-backwards": {"strides": (-4, 1)},
        "view-negative": {"shape": (-3, -4)},
        "view-of-one-stride": {"strides": (1,)},
        "view-empty-enormous": {"shape": (0, 2**40, 2**40), "strides": (1, 1, 1)},
        "view-of-many-sides": {"shape": (1,) * 100, "strides": (1,) * 100},
        "storage-missing": {"key": "7"},
        "storage-outside": {"key": "../data.pkl"},
        "storage-too-long": {"length": 13},
        "storage-too-short": {"length": 11},
        "storage-negative": {"length": -12},
        "storage-of-other-numbers": {"storage": b"ctorch\nHalfStorage\n"},
    }.items():
        yield Case(name, make_checkpoint(pickle_weights(**wrong)), "checkpoint-corrupt")
    two = pickle_weights()[:-2] + pickle_text("b") + _pickle_tensor(storage=b"ctorch\nIntStorage\n")[2:] + b"u."
    yield Case("storage-of-two-kinds", make_checkpoint(two), "checkpoint-corrupt")


def _list_archives(sound: bytes) -> Iterator[Case]:
    """List ZIP archives that PyTorch never writes, and damaged ones."""
    members = {"m/data.pkl": pickle_weights(), "m/data/0": VALUES}
    deflated = zipfile.ZIP_DEFLATED
    yield Case("deflated", make_zip(members, deflated), "checkpoint-bomb")
    yield Case("deflate-bomb", make_zip({**members, "m/data/1": bytes(10_000_000)}, deflated), "checkpoint-bomb")
    yield Case("two-pickles", make_zip({**members, "n/data.pkl": pickle_weights()}), "checkpoint-unknown-format")
    for name, member in (("up", "m/../../x"), ("absolute", "/etc/x"), ("backslash", "m\\..\\x"), ("drive", "C:/x")):
        yield Case(f"name-{name}", make_zip({**members, member: b"1"}), "checkpoint-corrupt")
    yield Case("name-twice", _repeat_first_member(members), "checkpoint-corrupt")
    yield Case("big-endian", make_zip({**members, "m/byteorder": b"big"}), "checkpoint-unknown-format")
    plain = make_zip(members)
    yield Case("damaged-numbers", _replace_once(plain, VALUES, VALUES[:-1] + b"\x01"), "checkpoint-corrupt")
    yield Case(
        "damaged-pickle",
        _replace_once(plain, b"Xa"[:1] + b"\x01\x00\x00\x00a", b"X\x01\x00\x00\x00b"),
        "checkpoint-corrupt",
    )
    yield Case(
        "damaged-spare", _replace_once(make_zip({**members, "m/x": b"spare"}), b"spare", b"spore"), "checkpoint-corrupt"
    )
    directory = plain.index(b"PK\x01\x02")
    yield Case("encrypted", _overwrite(plain, directory + 8, b"\x01\x00"), "checkpoint-corrupt")
    yield Case("member-elsewhere", _overwrite(plain, directory + 42, b"\x07\x00\x00\x00"), "checkpoint-corrupt")
    yield Case("member-beyond", _overwrite(plain, directory + 42, b"\xf0\xff\xff\x7f"), "checkpoint-corrupt")
    second = plain.index(b"PK\x01\x02", directory + 4)
    yield Case("members-overlap", _overwrite(plain, second + 42, b"\x00\x00\x00\x00"), "checkpoint-bomb")
    yield Case("directory-broken", _overwrite(plain, directory, b"XX"), "checkpoint-corrupt")
    yield Case("directory-enormous", make_zip({f"m/{k:050}": b"" for k in range(11_000)} | members), "checkpoint-bomb")
    for tenth in range(1, 10):
        yield Case(f"cut-{tenth}", sound[: len(sound) * tenth // 10], "checkpoint-truncated")
    yield Case("cut-last", sound[:-23], "checkpoint-truncated")


def _list_nonfinite_weights(folder: Path) -> Iterator[Case]:
    """List valid files with NaN or infinite values."""
    for name, value, kind in (
        ("nan", np.nan, np.float32),
        ("infinity", np.inf, np.float64),
        ("minus-infinity", -np.inf, np.float16),
    ):
        array = np.ones(1000, kind)
        array[777] = value
        write_released(folder / "scratch.pt", {**_WEIGHTS, "c": array})
        yield Case(name, (folder / "scratch.pt").read_bytes(), "non-finite-weights")
    both = np.float32([np.inf, -np.inf]).tobytes()
    yield Case(
        "infinities", make_checkpoint(pickle_weights(length=2, shape=(2,), strides=(1,)), both), "non-finite-weights"
    )
    half = pickle_weights(storage=b"ctorch\nBFloat16Storage\n", length=2, shape=(2,), strides=(1,))
    yield Case("bfloat16-nan", make_checkpoint(half, b"\x80\x3f\xc0\x7f"), "non-finite-weights")


def _list_safetensors() -> Iterator[Case]:
    """List inconsistent safetensors files."""
    entry = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    yield Case("header-of-nothing", bytes(8) + b"{}", "checkpoint-corrupt")
    yield Case("header-2^63", struct.pack("<Q", 1 << 63) + b"{}", "checkpoint-bomb")
    yield Case("header-enormous", struct.pack("<Q", (16 << 20) + 1) + b"{" + bytes(17 << 20), "checkpoint-bomb")
    yield Case("header-cut", struct.pack("<Q", 1000) + b'{"a":', "checkpoint-truncated")
    yield Case("header-no-json", _make_safetensors(b"{a"), "checkpoint-corrupt")
    yield Case("header-no-text", _make_safetensors(b'{"\xff":1}'), "checkpoint-corrupt")
    yield Case("header-deep", _make_safetensors(b'{"a":' + b"[" * 100_000), "checkpoint-corrupt")
    yield Case("header-of-a-number", _make_safetensors(b'{"a":1}'), "checkpoint-corrupt")
    yield Case(
        "header-with-a-name-twice",
        _make_safetensors(b'{"a":%b,"a":%b}' % ((json.dumps(entry).encode(),) * 2), VALUES[:12]),
        "checkpoint-corrupt",
    )
    for name, entries, code in (
        (
            "data-cut",
            {"a": {**entry, "data_offsets": [0, 12]}, "b": {**entry, "data_offsets": [12, 24]}},
            "checkpoint-truncated",
        ),
        ("data-overlap", {"a": entry, "b": entry}, "checkpoint-corrupt"),
        ("data-hole", {"a": {"dtype": "U8", "shape": [1], "data_offsets": [11, 12]}}, "checkpoint-corrupt"),
        ("data-of-another-shape", {"a": {**entry, "shape": [4]}}, "checkpoint-corrupt"),
        ("data-negative", {"a": {**entry, "data_offsets": [-12, 0]}}, "checkpoint-corrupt"),
        ("data-backwards", {"a": {**entry, "data_offsets": [12, 0]}}, "checkpoint-corrupt"),
        ("data-overflow", {"a": {**entry, "shape": [2**40, 2**40]}}, "checkpoint-corrupt"),
        ("data-100-dimensions", {"a": {**entry, "shape": [3, *[1] * 99]}}, "checkpoint-corrupt"),
        ("data-unknown", {"a": {**entry, "dtype": "X9"}}, "checkpoint-corrupt"),
        (
            "data-8-bits",
            {"a": {"dtype": "F8_E4M3", "shape": [12], "data_offsets": [0, 12]}},
            "checkpoint-unknown-format",
        ),
    ):
        yield Case(name, _make_safetensors(json.dumps(entries).encode(), VALUES[:12]), code)
    for name, side in (("data-of-no-value", 2**62), ("data-of-no-value-beyond-64-bits", 2**63)):
        huge = {"dtype": "F32", "shape": [0, side, side], "data_offsets": [0, 0]}
        yield Case(name, _make_safetensors(json.dumps({"a": huge}).encode()), "checkpoint-corrupt")
    yield Case("data-too-long", _make_safetensors(json.dumps({"a": entry}).encode(), VALUES), "checkpoint-corrupt")
    nan = np.float32([1, np.nan, 2]).tobytes()
    yield Case("data-nan", _make_safetensors(json.dumps({"a": entry}).encode(), nan), "non-finite-weights")


def pickle_text(value: str) -> bytes:
    """Pickle a string."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _pickle_integer(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def _pickle_tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_pickle_integer, values)) + b"t"


def _pickle_tensor(
    storage: bytes = _FLOAT_STORAGE,
    key: str = "0",
    length: int = 12,
    offset: int = 0,
    shape: tuple[int, ...] = (3, 4),
    strides: tuple[int, ...] = (4, 1),
    hooks: bytes = _ORDERED_DICT,
) -> bytes:
    """Pickle a tensor, without the final instruction."""
    persistent_id = (
        b"("
        + pickle_text("storage")
        + storage
        + pickle_text(key)
        + pickle_text("cpu")
        + _pickle_integer(length)
        + b"tQ"
    )
    return (
        b"\x80\x02"
        + _REBUILD_TENSOR
        + b"("
        + persistent_id
        + _pickle_integer(offset)
        + _pickle_tuple(shape)
        + _pickle_tuple(strides)
        + b"\x89"
        + hooks
        + b"tR"
    )


def pickle_weights(**wrong: Any) -> bytes:
    """Pickle a state dict with one tensor "a". The arguments replace parts of its description."""
    return b"\x80\x02}(" + pickle_text("a") + _pickle_tensor(**wrong)[2:] + b"u."


def make_zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Make a ZIP archive, also with names that `zipfile` would normalize."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, content, compression)
    return buffer.getvalue()


def make_checkpoint(program: bytes, values: bytes = VALUES) -> bytes:
    """Make the archive of a checkpoint from its pickle and the bytes of its storage."""
    return make_zip({"m/data.pkl": program, "m/data/0": values, "m/version": b"3\n"})


def _repeat_first_member(members: dict[str, bytes]) -> bytes:
    """Make an archive whose first member appears again under the same name."""
    content = make_zip({**members, "m/data.pkX": b"1"})
    return content.replace(b"m/data.pkX", b"m/data.pkl")


def _replace_once(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) == 1 and len(old) == len(new)
    return content.replace(old, new)


def _overwrite(content: bytes, position: int, patch: bytes) -> bytes:
    return content[:position] + patch + content[position + len(patch) :]


def _make_tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _make_npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    return buffer.getvalue()


def _make_safetensors(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data

"""SHA-256 of bytes, of files and of samples of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from masklet.errors import InputNotFound
from masklet.files.hashing import sha256, sha256_of_file, sha256_of_samples

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, example of one block


def test_the_hash_of_the_example_of_fips_180_4(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256(b"abc") == sha256_of_file(tmp_path / "file") == ABC


def test_a_file_of_several_chunks_is_hashed_completely(tmp_path: Path) -> None:
    content = bytes(range(256)) * (3 << 12) + b"end"
    (tmp_path / "file").write_bytes(content)
    assert sha256_of_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    for function in (sha256_of_file, sha256_of_samples):
        with pytest.raises(InputNotFound):
            function(tmp_path / "missing")


@pytest.mark.parametrize("size", [10, 1 << 16, (1 << 16) + 1, 5 << 20])
def test_the_hash_of_samples_depends_on_the_size_and_on_both_ends(tmp_path: Path, size: int) -> None:
    content = bytearray(size)
    hashes = set()
    for position in (None, 0, size - 1):
        if position is not None:
            content[position] ^= 1
        (tmp_path / "file").write_bytes(content)
        hashes.add(sha256_of_samples(tmp_path / "file"))
    (tmp_path / "file").write_bytes(content + b"\0")
    hashes.add(sha256_of_samples(tmp_path / "file"))
    assert len(hashes) == 4


def test_the_hash_of_samples_is_that_of_version_0_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")  # frame logs of earlier versions contain this value
    assert sha256_of_samples(tmp_path / "file") == hashlib.sha256(b"3abc").hexdigest()

"""Hashes are SHA-256 in hexadecimal, of all bytes or of samples."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from masklet.errors import InputNotFound
from masklet.files.hashing import sha256, sha256_of_file, sha256_of_samples

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, example of one block


def test_the_hash_of_a_known_text_is_the_standards(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256(b"abc") == sha256_of_file(tmp_path / "file") == ABC


def test_a_file_of_several_pieces_is_hashed_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * (3 << 12) + b"end"
    (tmp_path / "file").write_bytes(content)
    assert sha256_of_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for function in (sha256_of_file, sha256_of_samples):
        with pytest.raises(InputNotFound):
            function(tmp_path / "missing")


@pytest.mark.parametrize("size", [10, 1 << 16, (1 << 16) + 1, 5 << 20])
def test_samples_see_the_size_and_both_ends(tmp_path: Path, size: int) -> None:
    content = bytearray(size)
    found = set()
    for place in (None, 0, size - 1):
        if place is not None:
            content[place] ^= 1
        (tmp_path / "file").write_bytes(content)
        found.add(sha256_of_samples(tmp_path / "file"))
    (tmp_path / "file").write_bytes(content + b"\0")
    found.add(sha256_of_samples(tmp_path / "file"))
    assert len(found) == 4


def test_a_small_file_is_sampled_as_jobs_remember_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")  # journals of earlier versions hold this value
    assert sha256_of_samples(tmp_path / "file") == hashlib.sha256(b"3abc").hexdigest()

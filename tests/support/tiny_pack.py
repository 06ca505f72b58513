"""Package files and a pack of a few kilobytes, made by formula."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.synthetic.pack import Pack
from tools.pack.build_pack import build_pack
from tools.pack.licenses import Terms
from tools.pack.sources import Pick, Source

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: things

Files: *
Copyright: 2001, Everybody
License: GPL-2+

Files: free/*.png photos/*
 models/*
Copyright: 2002, Ada
           2003, Grace
License: CC-BY-4.0

License: GPL-2+
 A long text.
 .
 Files: nothing/*
"""
CUBE = """mtllib cube.mtl
v -1 -1 -1
v 1 -1 -1
v 1 1 -1
v -1 1 -1
v -1 -1 1
v 1 -1 1
v 1 1 1
v -1 1 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl sides
f 1/1 4/4 3/3 2/2
f 5/1 6/2 7/3 8/4
f 1/1 2/2 6/3 5/4
f 3 4 8 7
usemtl ends
f 1 5 8 4
f 2 3 7 6
"""
MTL = "newmtl sides\nKd 0.2 0.4 0.8\nmap_Kd skin.jpg\nnewmtl ends\nKd 0.9 0.1 0.1\n"
CATALOG = "id#1=cube\nmodel#1=/cube/cube.obj\ncreator#1=Emmy\nmodelRotation#1=1 0 0 0 1 0 0 0 1\n"


def sprite(number: int, side: int = 72) -> NDArray[np.uint8]:
    """Make a shaded, noisy ellipse on a transparent background (side, side, 4); each number gives another."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices((side, side)) / side - 0.5
    inside = (rows / rng.uniform(0.25, 0.45)) ** 2 + (columns / rng.uniform(0.25, 0.45)) ** 2 < 1
    color = rng.uniform(40, 200, 3) + 60 * rows[..., None] + rng.normal(0, 12, (side, side, 3))
    return np.dstack([np.clip(color, 0, 255), inside * 255.0]).astype(np.uint8)


def ground(number: int, side: int = 160) -> NDArray[np.uint8]:
    """Make a background of smooth colors and noise (side, side, 3); each number gives another."""
    rng = np.random.default_rng(1000 + number)
    coarse = Image.fromarray(rng.integers(0, 255, (5, 5, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse) + rng.normal(0, 12, (side, side, 3)), 0, 255).astype(np.uint8)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def make_tar_gz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def make_deb(files: dict[str, bytes]) -> bytes:
    """Make a Debian package that installs these files."""
    parts = {"debian-binary": b"2.0\n", "control.tar.gz": make_tar_gz({}), "data.tar.gz": make_tar_gz(files)}
    packed = b"!<arch>\n"
    for name, data in parts.items():
        packed += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        )
    return packed


def make_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_resource_bundle(folder: str, files: dict[str, bytes]) -> bytes:
    """Make a Qt resource bundle with one folder of files, the first of them compressed."""
    names, payloads = b"", b""

    def add_name(name: str) -> int:
        nonlocal names
        offset = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        return offset

    tree = struct.pack(">IHII", 0, 2, 1, 1) + struct.pack(">IHII", add_name(folder), 2, len(files), 2)
    for number, (name, data) in enumerate(files.items()):
        body = struct.pack(">I", len(data)) + zlib.compress(data) if number == 0 else data
        tree += struct.pack(">IHHHI", add_name(name), 1 if number == 0 else 0, 0, 0, len(payloads))
        payloads += struct.pack(">I", len(body)) + body
    header_size = 20
    start = header_size + len(tree)
    header = struct.pack(">4s4I", b"qres", 1, header_size, start, start + len(payloads))
    return header + tree + payloads + names


def make_package_files() -> dict[str, bytes]:
    """Make the files of the Debian package `things`: sprites with two licenses, photographs, textures, a cube."""
    files = {"usr/share/doc/things/copyright": COPYRIGHT.encode()}
    for number in range(12):
        files[f"usr/share/things/{'free' if number % 2 else 'bound'}/{number}.png"] = encode_png(sprite(number))
        files[f"usr/share/things/photos/{number}.jpg"] = encode_jpeg(ground(number))
        files[f"usr/share/things/textures/{number}.jpg"] = encode_jpeg(ground(100 + number))
    model = {"cube/cube.obj": CUBE.encode(), "cube/cube.mtl": MTL.encode(), "cube/skin.jpg": encode_jpeg(ground(7, 64))}
    models = {**model, "PluginFurnitureCatalog.properties": CATALOG.encode()}
    files["usr/share/things/models/cubes.sh3f"] = make_zip(models)
    return files


SOURCE = Source(
    "things",
    "debian",
    (
        Pick("sprite", r"things/(free|bound)/.*\.png$", side=96, shortest=32),
        Pick("photograph", r"things/photos/", side=160),
        Pick("texture", r"things/textures/", side=128, limit=8),
        Pick("mesh", r"\.sh3f/", side=0),
    ),
)
SHADED = Source("@emoji/shaded", "npm", (Pick("shaded", r"\.png$", side=64),), Terms("MIT", "Somebody"))


def write_packages(folder: Path) -> Path:
    """Write the two package files to a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "things_1.0_all.deb").write_bytes(make_deb(make_package_files()))
    shaded = {f"package/{number}.png": encode_png(sprite(50 + number)) for number in range(6)}
    (folder / "emoji-shaded-1.0.0.tgz").write_bytes(make_tar_gz(shaded))
    return folder


def tiny_pack(folder: Path, policy: str = "all") -> Pack:
    """Build the pack of both packages in `folder`/pack."""
    assert policy in ("all", "strict")
    packages = write_packages(folder / "packages")
    return build_pack(folder / "pack", "all" if policy == "all" else "strict", packages, (SOURCE, SHADED))

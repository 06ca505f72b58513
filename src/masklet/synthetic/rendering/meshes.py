"""Mesh format of packs: triangles, texture coordinates and materials in a few kilobytes."""

from __future__ import annotations

import json
import lzma
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POSITION_STEPS = 2047
"""Positions in [-1, 1] are stored as integers from -2047 to 2047, finer than a pixel of a rendering."""
_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


@dataclass(frozen=True, slots=True)
class Material:
    """A material: diffuse color and opacity in [0, 1], and the path of a texture if it has one."""

    color: tuple[float, float, float] = (0.7, 0.7, 0.7)
    opacity: float = 1.0
    texture: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles inside the unit sphere, with the y axis up.

    Attributes:
        vertices: Positions (V, 3) float32.
        coordinates: Texture coordinates (u, v) of the vertices (V, 2) float32, with v up.
        faces: Indices into `vertices` (T, 3) int32.
        face_materials: Indices into `materials` (T,) int32.
        materials: The materials. Their textures are paths of assets in the pack.
    """

    vertices: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    faces: NDArray[np.int32]
    face_materials: NDArray[np.int32]
    materials: tuple[Material, ...]


def encode_mesh(mesh: Mesh) -> bytes:
    """Encode a mesh as compressed bytes, with differences of consecutive positions and indices."""
    header = {
        "counts": [len(mesh.vertices), len(mesh.faces)],
        "runs": np.bincount(mesh.face_materials, minlength=len(mesh.materials)).tolist(),
        "materials": [[*(round(c, 3) for c in m.color), m.opacity, m.texture] for m in mesh.materials],
    }
    text = json.dumps(header).encode()
    positions = np.round(mesh.vertices * POSITION_STEPS).astype("<i2")
    body = (
        np.diff(positions, axis=0, prepend=np.zeros((1, 3), "<i2")).astype("<i2").T.tobytes()
        + mesh.coordinates.astype("<f2").T.tobytes()
        + np.diff(mesh.faces.ravel(), prepend=0).astype("<i4").view("<u1").reshape(-1, 4).T.tobytes()
    )
    return lzma.compress(struct.pack("<I", len(text)) + text + body, lzma.FORMAT_RAW, filters=_LZMA)


def decode_mesh(data: bytes) -> Mesh:
    """Decode a mesh. `encode_mesh` rounds positions to 1/2047 and texture coordinates to half precision."""
    raw = lzma.decompress(data, lzma.FORMAT_RAW, filters=_LZMA)
    (length,) = struct.unpack_from("<I", raw)
    header = json.loads(raw[4 : 4 + length])
    vertex_count, face_count = header["counts"]
    position_bytes, coordinate_bytes = 6 * vertex_count, 4 * vertex_count
    start = 4 + length
    steps = np.frombuffer(raw, "<i2", 3 * vertex_count, start).reshape(3, -1).T
    coordinates = np.frombuffer(raw, "<f2", 2 * vertex_count, start + position_bytes).reshape(2, -1).T
    planes = np.frombuffer(raw, "<u1", 12 * face_count, start + position_bytes + coordinate_bytes)
    jumps = np.ascontiguousarray(planes.reshape(4, -1).T).view("<i4").ravel()
    materials = tuple(Material((row[0], row[1], row[2]), row[3], row[4]) for row in header["materials"])
    return Mesh(
        (np.cumsum(steps, axis=0, dtype=np.int32) / POSITION_STEPS).astype(np.float32),
        coordinates.astype(np.float32),
        np.cumsum(jumps, dtype=np.int32).reshape(-1, 3),
        np.repeat(np.arange(len(materials), dtype=np.int32), header["runs"]),
        materials,
    )

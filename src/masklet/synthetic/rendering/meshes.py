"""Small textured meshes: decimated by clustering vertices, stored in a few kilobytes."""

from __future__ import annotations

import json
import lzma
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masklet.synthetic.rendering.obj import Material, ObjModel

STEPS = 2047
"""Positions are stored as integers from -2047 to 2047: finer than a pixel of any picture we render."""
_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles inside the unit sphere, y up.

    `vertices` (V, 3) float32; `coordinates` (V, 2) float32, a texture's (u, v) with v upwards; `faces` (T, 3) int32;
    `face_materials` (T,) int32 into `materials`, whose `texture` names a picture of the pack.
    """

    vertices: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    faces: NDArray[np.int32]
    face_materials: NDArray[np.int32]
    materials: tuple[Material, ...]


def simplified(model: ObjModel, most: int, rotation: NDArray[np.float32] | None = None) -> Mesh | None:
    """`model` centred, scaled into the unit sphere and decimated to at most `most` triangles; None where none is left.

    Vertices that fall into one cell of a grid become one; the grid coarsens until few enough triangles survive
    (Rossignac and Borrel 1993). See-through materials are dropped: what they cover is what one sees.
    """
    opaque = np.array([material.opacity > 0.25 for material in model.materials])[model.face_materials]
    if not opaque.any():
        return None
    faces, owners = model.faces[opaque], model.face_materials[opaque]
    coordinates = model.face_coordinates[opaque]
    used = np.unique(faces)
    positions = model.positions @ rotation.T if rotation is not None else model.positions
    low, high = positions[used].min(0), positions[used].max(0)
    positions = positions - (low + high) / 2
    positions = positions / max(float(np.linalg.norm(positions[used], axis=1).max()), 1e-9)
    for cells in (320, 256, 200, 160, 128, 100, 80, 64, 50, 40, 32, 24, 18, 14, 10):
        clusters, kept = _clustered(positions, faces, cells)
        if len(kept) <= most:
            break
    if not 0 < len(kept) <= most:
        return None
    centres = _centres(positions, clusters, used)
    return _assembled(centres, clusters[faces[kept]], coordinates[kept], owners[kept], model)


def encode_mesh(mesh: Mesh) -> bytes:
    """A mesh as compressed bytes: vertices in the order of their first use, differences of neighbours."""
    header = {
        "counts": [len(mesh.vertices), len(mesh.faces)],
        "runs": np.bincount(mesh.face_materials, minlength=len(mesh.materials)).tolist(),
        "materials": [[*(round(c, 3) for c in m.colour), m.opacity, m.texture] for m in mesh.materials],
    }
    text = json.dumps(header).encode()
    positions = np.round(mesh.vertices * STEPS).astype("<i2")
    body = (
        np.diff(positions, axis=0, prepend=np.zeros((1, 3), "<i2")).astype("<i2").T.tobytes()
        + mesh.coordinates.astype("<f2").T.tobytes()
        + np.diff(mesh.faces.ravel(), prepend=0).astype("<i4").view("<u1").reshape(-1, 4).T.tobytes()
    )
    return lzma.compress(struct.pack("<I", len(text)) + text + body, lzma.FORMAT_RAW, filters=_LZMA)


def decode_mesh(data: bytes) -> Mesh:
    """The mesh that `encode_mesh` stored; positions are rounded to 1/2047, coordinates to half precision."""
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
        (np.cumsum(steps, axis=0, dtype=np.int32) / STEPS).astype(np.float32),
        coordinates.astype(np.float32),
        np.cumsum(jumps, dtype=np.int32).reshape(-1, 3),
        np.repeat(np.arange(len(materials), dtype=np.int32), header["runs"]),
        materials,
    )


def _clustered(
    positions: NDArray[np.float32], faces: NDArray[np.int32], cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cluster number of every vertex, and the faces that keep three distinct clusters, each set of three once."""
    cell = np.floor((positions + 1) * 0.5 * cells).astype(np.int64)
    key = (cell[:, 0] * 4096 + cell[:, 1]) * 4096 + cell[:, 2]
    clusters = np.unique(key, return_inverse=True)[1].reshape(-1)
    corners = np.sort(clusters[faces], axis=1)
    distinct = np.flatnonzero((corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]))
    first = np.unique(corners[distinct], axis=0, return_index=True)[1] if len(distinct) else distinct
    return clusters, np.sort(distinct[first])


def _centres(
    positions: NDArray[np.float32], clusters: NDArray[np.int64], used: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Mean position of the used vertices of each cluster."""
    count = np.bincount(clusters[used], minlength=int(clusters.max()) + 1)
    sums = [np.bincount(clusters[used], positions[used, axis], minlength=len(count)) for axis in range(3)]
    return (np.stack(sums, 1) / np.maximum(count, 1)[:, None]).astype(np.float32)


def _assembled(
    centres: NDArray[np.float32],
    corners: NDArray[np.int64],
    coordinate_indices: NDArray[np.int32],
    owners: NDArray[np.int32],
    model: ObjModel,
) -> Mesh:
    """One vertex per pair of cluster and texture coordinate, faces grouped by material, unused materials dropped."""
    order = np.argsort(owners, kind="stable")
    corners, coordinate_indices, owners = corners[order], coordinate_indices[order], owners[order]
    textured = np.array([material.texture is not None for material in model.materials])[owners]
    valid = textured[:, None] & (coordinate_indices >= 0)
    source = model.coordinates if len(model.coordinates) else np.zeros((1, 2), np.float32)
    coordinates = (
        np.where(valid[..., None], source[np.maximum(coordinate_indices, 0)], 0).clip(-999, 999).astype(np.float16)
    )
    bits = coordinates.view(np.uint16).astype(np.int64)
    key = (corners << 32 | bits[..., 0] << 16 | bits[..., 1]).ravel()
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    by_use = np.argsort(first)
    rank[by_use] = np.arange(len(first), dtype=np.int32)
    present, compact = np.unique(owners, return_inverse=True)
    return Mesh(
        centres[corners.ravel()[first[by_use]]],
        coordinates.reshape(-1, 2)[first[by_use]].astype(np.float32),
        rank[inverse.reshape(-1, 3)],
        compact.reshape(-1).astype(np.int32),
        tuple(model.materials[int(number)] for number in present),
    )

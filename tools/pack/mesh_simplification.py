"""Mesh decimation by vertex clustering."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklet.synthetic.rendering.meshes import Mesh
from tools.pack.obj import ObjModel

MIN_OPACITY = 0.25
GRID_CELLS = (320, 256, 200, 160, 128, 100, 80, 64, 50, 40, 32, 24, 18, 14, 10)


def simplify_mesh(model: ObjModel, max_triangles: int, rotation: NDArray[np.float32] | None = None) -> Mesh | None:
    """Center a model, scale it into the unit sphere and decimate it.

    The vertices in each cell of a grid become one vertex; the grid is coarsened until few enough triangles remain
    (Rossignac and Borrel 1993). Faces with a transparent material are dropped.

    Args:
        model: The model.
        max_triangles: The largest number of triangles of the mesh.
        rotation: A rotation matrix (3, 3) that is applied first.

    Returns:
        The mesh, None if it has no triangle left or too many on the coarsest grid.
    """
    opaque = np.array([material.opacity > MIN_OPACITY for material in model.materials])[model.face_materials]
    if not opaque.any():
        return None
    faces, owners = model.faces[opaque], model.face_materials[opaque]
    coordinates = model.face_coordinates[opaque]
    used = np.unique(faces)
    positions = model.positions @ rotation.T if rotation is not None else model.positions
    low, high = positions[used].min(0), positions[used].max(0)
    positions = positions - (low + high) / 2
    positions = positions / max(float(np.linalg.norm(positions[used], axis=1).max()), 1e-9)
    for cells in GRID_CELLS:
        clusters, remaining = _cluster_vertices(positions, faces, cells)
        if len(remaining) <= max_triangles:
            break
    if not 0 < len(remaining) <= max_triangles:
        return None
    centers = _compute_centers(positions, clusters, used)
    return _assemble(centers, clusters[faces[remaining]], coordinates[remaining], owners[remaining], model)


def _cluster_vertices(
    positions: NDArray[np.float32], faces: NDArray[np.int32], cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cluster of every vertex, and the indices of the faces with three clusters, without duplicates."""
    cell = np.floor((positions + 1) * 0.5 * cells).astype(np.int64)
    key = (cell[:, 0] * 4096 + cell[:, 1]) * 4096 + cell[:, 2]
    clusters = np.unique(key, return_inverse=True)[1].reshape(-1)
    corners = np.sort(clusters[faces], axis=1)
    distinct = np.flatnonzero((corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]))
    first = np.unique(corners[distinct], axis=0, return_index=True)[1] if len(distinct) else distinct
    return clusters, np.sort(distinct[first])


def _compute_centers(
    positions: NDArray[np.float32], clusters: NDArray[np.int64], used: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Return the mean position of the used vertices of each cluster."""
    count = np.bincount(clusters[used], minlength=int(clusters.max()) + 1)
    sums = [np.bincount(clusters[used], positions[used, axis], minlength=len(count)) for axis in range(3)]
    return (np.stack(sums, 1) / np.maximum(count, 1)[:, None]).astype(np.float32)


def _assemble(
    centers: NDArray[np.float32],
    corners: NDArray[np.int64],
    coordinate_indices: NDArray[np.int32],
    owners: NDArray[np.int32],
    model: ObjModel,
) -> Mesh:
    """Build a mesh with one vertex per pair of cluster and texture coordinate, and faces grouped by material.

    Unused materials are dropped.
    """
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
        centers[corners.ravel()[first[by_use]]],
        coordinates.reshape(-1, 2)[first[by_use]].astype(np.float32),
        rank[inverse.reshape(-1, 3)],
        compact.reshape(-1).astype(np.int32),
        tuple(model.materials[int(number)] for number in present),
    )

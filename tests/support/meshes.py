"""Meshes by formula: a cube and a sphere."""

from __future__ import annotations

import numpy as np

from masklet.synthetic.rendering.meshes import Material, Mesh
from support.tiny_pack import CUBE, MTL
from tools.pack.mesh_simplification import simplify_mesh
from tools.pack.obj import ObjModel, parse_mtl, parse_obj


def make_cube() -> Mesh:
    """Make a cube of 12 triangles with two materials."""
    mesh = simplify_mesh(parse_obj(CUBE, parse_mtl(MTL)), 100)
    assert mesh is not None
    return mesh


def make_sphere_model(rows: int) -> ObjModel:
    """Make a sphere of many triangles as an OBJ model."""
    polar, around = np.meshgrid(np.linspace(0.05, np.pi - 0.05, rows), np.linspace(0, 2 * np.pi, rows), indexing="ij")
    points = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1)
    corner = np.arange(rows * rows).reshape(rows, rows)
    a, b, c, d = (x.ravel() for x in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    none = np.full_like(faces, -1)
    owners = np.zeros(len(faces), np.int32)
    return ObjModel(
        points.reshape(-1, 3).astype(np.float32), np.zeros((0, 2), np.float32), faces, none, owners, (Material(),)
    )


def make_sphere(rows: int, max_triangles: int) -> Mesh:
    """Make a sphere as a decimated mesh."""
    mesh = simplify_mesh(make_sphere_model(rows), max_triangles)
    assert mesh is not None
    return mesh

"""Wavefront OBJ and MTL readers: triangles, texture coordinates and materials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.synthetic.rendering.meshes import Material


@dataclass(frozen=True, slots=True, eq=False)
class ObjModel:
    """Triangles of an OBJ file.

    Attributes:
        positions: Vertex positions (V, 3) float32.
        coordinates: Texture coordinates (U, 2) float32.
        faces: Indices into `positions` (T, 3) int32.
        face_coordinates: Indices into `coordinates` (T, 3) int32, -1 for a corner without texture coordinate.
        face_materials: Indices into `materials` (T,) int32.
        materials: The materials; the last one is for faces without material.
    """

    positions: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    faces: NDArray[np.int32]
    face_coordinates: NDArray[np.int32]
    face_materials: NDArray[np.int32]
    materials: tuple[Material, ...]


def parse_mtl(text: str) -> dict[str, Material]:
    """Parse an MTL file into materials by name. Unknown lines are skipped."""
    materials: dict[str, Material] = {}
    name = ""
    for line in text.splitlines():
        words = line.split()
        key, rest = (words[0].lower(), words[1:]) if words else ("", [])
        if key == "newmtl":
            name = " ".join(rest)
            materials[name] = Material()
        elif name and key == "kd" and len(rest) >= 3:
            red, green, blue = (float(value) for value in rest[:3])
            materials[name] = replace(materials[name], color=(red, green, blue))
        elif name and key == "d" and rest:
            materials[name] = replace(materials[name], opacity=float(rest[-1]))
        elif name and key == "map_kd" and rest:
            materials[name] = replace(materials[name], texture=line.strip().split(None, 1)[1].strip())
    return materials


def parse_obj(text: str, materials: Mapping[str, Material]) -> ObjModel:
    """Parse an OBJ file. Polygons are split into fans of triangles.

    Args:
        text: The content of the file.
        materials: The materials of its MTL file, by name.

    Raises:
        FormatError: The file has no faces, or a face has an index without a position.
    """
    positions: list[list[str]] = []
    coordinates: list[list[str]] = []
    corners: list[int] = []
    owners: list[int] = []
    names = list(materials)
    current = len(names)
    for line in text.splitlines():
        if line.startswith("v "):
            positions.append(line.split()[1:4])
        elif line.startswith("vt "):
            coordinates.append(line.split()[1:3])
        elif line.startswith("f "):
            fan = [_parse_corner(word, len(positions), len(coordinates)) for word in line.split()[1:]]
            for second, third in pairwise(fan[1:]):
                corners += [*fan[0], *second, *third]
                owners.append(current)
        elif line.startswith("usemtl"):
            name = line[6:].strip()
            current = names.index(name) if name in materials else len(names)
    if not owners:
        raise FormatError("dataset-broken", "the OBJ model has no faces; use another model")
    indices = np.array(corners, np.int32).reshape(-1, 3, 2)
    if indices[..., 0].min() < 0 or indices[..., 0].max() >= len(positions):
        message = f"a face of the OBJ model has a position index outside of its {len(positions)} positions"
        raise FormatError("dataset-broken", f"{message}; use another model")
    return ObjModel(
        np.array(positions, np.float32),
        np.array(coordinates, np.float32).reshape(-1, 2),
        indices[..., 0],
        np.where(indices[..., 1] < len(coordinates), indices[..., 1], -1),
        np.array(owners, np.int32),
        (*materials.values(), Material()),
    )


def _parse_corner(word: str, positions: int, coordinates: int) -> tuple[int, int]:
    """Parse `v/vt/vn` into zero-based indices of position and texture coordinate; negative ones count from the end."""
    position, _, rest = word.partition("/")
    coordinate = rest.partition("/")[0]
    first, second = int(position), int(coordinate) if coordinate else 0
    return (
        first - 1 if first > 0 else positions + first,
        second - 1 if second > 0 else (coordinates + second if second else -1),
    )

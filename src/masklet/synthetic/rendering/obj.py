"""Read Wavefront OBJ and MTL text: triangles, texture coordinates, and what each material looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError


@dataclass(frozen=True, slots=True)
class Material:
    """Diffuse colour 0-1, opacity 0-1, and the path of a texture as written in the file, if any."""

    colour: tuple[float, float, float] = (0.7, 0.7, 0.7)
    opacity: float = 1.0
    texture: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ObjModel:
    """Positions (V, 3), texture coordinates (U, 2), and per triangle its three position and coordinate indices (T, 3).

    A corner without a texture coordinate has index -1. `face_materials` (T,) points into `materials`.
    """

    positions: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    faces: NDArray[np.int32]
    face_coordinates: NDArray[np.int32]
    face_materials: NDArray[np.int32]
    materials: tuple[Material, ...]


def parse_mtl(text: str) -> dict[str, Material]:
    """Materials by name. Lines that are not understood are skipped, as every reader of this format does."""
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
            materials[name] = replace(materials[name], colour=(red, green, blue))
        elif name and key == "d" and rest:
            materials[name] = replace(materials[name], opacity=float(rest[-1]))
        elif name and key == "map_kd" and rest:
            materials[name] = replace(materials[name], texture=line.strip().split(None, 1)[1].strip())
    return materials


def parse_obj(text: str, materials: Mapping[str, Material]) -> ObjModel:
    """Geometry of an OBJ file; polygons are split into fans of triangles.

    Raises `FormatError` for a file without faces or with indices that point nowhere.
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
            fan = [_corner(word, len(positions), len(coordinates)) for word in line.split()[1:]]
            for second, third in pairwise(fan[1:]):
                corners += [*fan[0], *second, *third]
                owners.append(current)
        elif line.startswith("usemtl"):
            name = line[6:].strip()
            current = names.index(name) if name in materials else len(names)
    if not owners:
        raise FormatError("dataset-broken", "an OBJ model without faces")
    indices = np.array(corners, np.int32).reshape(-1, 3, 2)
    if indices[..., 0].min() < 0 or indices[..., 0].max() >= len(positions):
        raise FormatError("dataset-broken", "an OBJ model whose faces name positions that it does not have")
    return ObjModel(
        np.array(positions, np.float32),
        np.array(coordinates, np.float32).reshape(-1, 2),
        indices[..., 0],
        np.where(indices[..., 1] < len(coordinates), indices[..., 1], -1),
        np.array(owners, np.int32),
        (*materials.values(), Material()),
    )


def _corner(word: str, positions: int, coordinates: int) -> tuple[int, int]:
    """`v/vt/vn` as zero-based indices of position and coordinate; negative numbers count from the end."""
    position, _, rest = word.partition("/")
    coordinate = rest.partition("/")[0]
    first, second = int(position), int(coordinate) if coordinate else 0
    return (
        first - 1 if first > 0 else positions + first,
        second - 1 if second > 0 else (coordinates + second if second else -1),
    )

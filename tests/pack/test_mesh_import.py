"""OBJ models: parsing and decimation."""

from __future__ import annotations

import numpy as np
import pytest

from masklet.errors import FormatError
from support.meshes import make_cube, make_sphere
from support.tiny_pack import CUBE, MTL
from tools.pack.mesh_simplification import simplify_mesh
from tools.pack.obj import parse_mtl, parse_obj


def test_polygons_become_fans_of_triangles() -> None:
    model = parse_obj(CUBE, parse_mtl(MTL))
    assert model.faces.shape == (12, 3) and model.positions.shape == (8, 3)


def test_every_face_has_its_material() -> None:
    model = parse_obj(CUBE, parse_mtl(MTL))
    assert np.bincount(model.face_materials).tolist() == [8, 4]
    assert [material.color for material in model.materials[:2]] == [(0.2, 0.4, 0.8), (0.9, 0.1, 0.1)]


def test_negative_indices_count_from_the_end() -> None:
    model = parse_obj("v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\n", {})
    assert model.faces.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("text", ["v 0 0 0\n", "v 0 0 0\nv 1 0 0\nf 1 2 3\n", ""])
def test_a_model_without_valid_faces_is_an_error(text: str) -> None:
    with pytest.raises(FormatError):
        parse_obj(text, {})


def test_a_decimated_mesh_lies_in_the_unit_sphere() -> None:
    assert np.linalg.norm(make_cube().vertices, axis=1).max() == pytest.approx(1, abs=1e-5)


def test_a_small_mesh_is_not_decimated() -> None:
    assert len(make_cube().faces) == 12


def test_a_decimated_mesh_has_at_most_the_given_number_of_triangles() -> None:
    assert 500 < len(make_sphere(60, 1500).faces) <= 1500


def test_a_decimated_sphere_is_round() -> None:
    vertices = make_sphere(60, 1500).vertices
    assert np.linalg.norm(vertices, axis=1).min() > 0.85  # 14 cells across: the means of cells are a little inside


def test_transparent_faces_are_dropped() -> None:
    model = parse_obj(CUBE, parse_mtl(MTL + "d 0.1\n"))
    mesh = simplify_mesh(model, 100)
    assert mesh is not None and len(mesh.faces) == 8

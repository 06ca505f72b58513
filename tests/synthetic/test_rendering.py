"""Mesh format, rasterizer and renderer."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from masklet.synthetic.rendering.meshes import POSITION_STEPS, decode_mesh, encode_mesh
from masklet.synthetic.rendering.rasterizer import rasterize_triangles
from masklet.synthetic.rendering.renderer import TexturedMesh, View, render, render_cropped, sample_view
from support.meshes import make_cube, make_sphere
from support.tiny_pack import ground


def search_nearest(corners: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.int64]:
    """Find the nearest triangle at each pixel center, pixel by pixel; -1 if there is none."""
    nearest, depth = np.full(size, -1), np.full(size, np.inf)
    for number, triangle in enumerate(corners.astype(float)):
        (ax, ay, _), (bx, by, _), (cx, cy, _) = triangle
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        for y, x in np.ndindex(*size):
            px, py = x + 0.5, y + 0.5
            weights = np.array(
                [
                    (bx - px) * (cy - py) - (cx - px) * (by - py),
                    (cx - px) * (ay - py) - (ax - px) * (cy - py),
                    (ax - px) * (by - py) - (bx - px) * (ay - py),
                ]
            )
            weights /= area
            if (weights >= 0).all():
                z = 1 / (weights / triangle[:, 2]).sum()
                if z < depth[y, x]:
                    depth[y, x], nearest[y, x] = z, number
    return nearest


def test_a_decoded_mesh_equals_the_encoded_one() -> None:
    mesh = make_cube()
    decoded = decode_mesh(encode_mesh(mesh))
    assert np.abs(decoded.vertices - mesh.vertices).max() <= 0.5 / POSITION_STEPS + 1e-7
    assert np.array_equal(decoded.faces, mesh.faces) and np.array_equal(decoded.face_materials, mesh.face_materials)
    assert np.array_equal(decoded.coordinates, mesh.coordinates) and decoded.materials == mesh.materials


def test_an_encoded_mesh_has_less_than_eight_bytes_per_triangle() -> None:
    mesh = make_sphere(60, 3000)
    assert len(encode_mesh(mesh)) < 8 * len(mesh.faces)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_z_buffer_equals_a_brute_force_search(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    corners = np.concatenate([rng.uniform(-4, 16, (count, 3, 2)), rng.uniform(1, 5, (count, 3, 1))], 2)
    corners = corners.astype(np.float32)
    fragments = rasterize_triangles(corners, (12, 10))
    visible = np.full(120, -1)
    visible[fragments.pixels] = fragments.triangles
    assert np.array_equal(visible.reshape(12, 10), search_nearest(corners, (12, 10)))


def test_weights_are_perspective_correct() -> None:
    # An edge from depth 1 to depth 3: halfway on the screen is a quarter of the edge in space.
    corners = np.array([[[0, 0, 1], [8, 0, 3], [0, 8, 1]]], np.float32)
    fragments = rasterize_triangles(corners, (8, 8))
    depth = fragments.weights @ corners[0, :, 2]
    x = fragments.pixels % 8 + 0.5
    expected = 1 / (1 - x / 8 * (1 - 1 / 3))
    assert np.allclose(depth, expected, atol=1e-4)


def test_two_triangles_of_a_square_cover_each_pixel_once() -> None:
    corners = np.array([[[1, 1, 1], [9, 1, 1], [9, 9, 1]], [[1, 1, 1], [9, 9, 1], [1, 9, 1]]], np.float32)
    pixels = rasterize_triangles(corners, (10, 10)).pixels
    assert len(pixels) == len(set(pixels.tolist())) == 64


def test_triangles_behind_the_camera_are_not_drawn() -> None:
    corners = np.array([[[0, 0, 1], [8, 0, -1], [0, 8, 1]]], np.float32)
    assert len(rasterize_triangles(corners, (8, 8)).pixels) == 0


def test_nothing_is_drawn_outside_of_the_image() -> None:
    corners = np.array([[[-50, -50, 1], [80, -50, 1], [-50, 80, 1]]], np.float32)
    assert sorted(rasterize_triangles(corners, (4, 4)).pixels.tolist()) == list(range(16))


def test_a_cube_seen_from_the_front_is_a_square() -> None:
    rgba, _ = render(TexturedMesh(make_cube(), {}), View(azimuth=0, elevation=0), 64)
    solid = rgba[..., 3] >= 128
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    assert len(rows) == len(columns) and solid[np.ix_(rows, columns)].all()


def test_a_rotated_cube_shows_both_materials() -> None:
    _, parts = render(TexturedMesh(make_cube(), {}), View(azimuth=0.7, elevation=0.3), 64)
    assert set(np.unique(parts)) == {0, 1, 2}


def test_the_parts_cover_the_object_exactly() -> None:
    rgba, parts = render(TexturedMesh(make_cube(), {}), View(azimuth=0.7, elevation=0.3), 64)
    assert (parts[rgba[..., 3] == 255] > 0).all() and not parts[rgba[..., 3] == 0].any()


def test_a_texture_is_visible_on_its_faces() -> None:
    skin = np.full((8, 8, 3), (0, 255, 0), np.uint8)
    view = View(azimuth=0, elevation=0, ambient=1.0)
    plain, _ = render(TexturedMesh(make_cube(), {}), view, 32)
    green, _ = render(TexturedMesh(make_cube(), {"skin.jpg": skin}), view, 32)
    assert plain[16, 16, 2] > plain[16, 16, 1] and green[16, 16, 1] > 3 * green[16, 16, 2]


def test_light_from_the_left_brightens_the_left() -> None:
    mesh = make_sphere(40, 3000)
    rgba, _ = render(TexturedMesh(mesh, {}), View(0, 0, light=(-1, 0, 0.1), ambient=0.2), 48)
    assert rgba[24, 12, :3].mean() > 2 * rgba[24, 36, :3].mean()


def test_the_same_view_gives_the_same_rendering() -> None:
    model = TexturedMesh(make_cube(), {"skin.jpg": ground(1, 32)})
    view = sample_view(np.random.default_rng(3))
    assert np.array_equal(render(model, view, 40)[0], render(model, view, 40)[0])


def test_a_cropped_rendering_touches_its_border() -> None:
    cropped = render_cropped(TexturedMesh(make_cube(), {}), View(0.7, 0.3), 64)
    assert cropped is not None
    alpha = cropped[0][..., 3] > 0
    assert alpha[0].any() and alpha[-1].any() and alpha[:, 0].any() and alpha[:, -1].any()

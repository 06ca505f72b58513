"""Mesh renderer with a camera, a light, textures and exact part masks.

Shading is Lambert and Blinn-Phong with one light and an ambient light that is brighter from above. Normals are smooth
except at creases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.image_filters import resize
from masklet.synthetic.rendering.meshes import Mesh
from masklet.synthetic.rendering.rasterizer import Fragments, rasterize_triangles

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

CREASE_COSINE = np.cos(np.radians(50))
"""Normals of faces whose angle is larger than this one are not smoothed."""
SUPERSAMPLES = 2
"""Each pixel is the mean of a square of this many samples a side."""
MAX_PARTS = 6


@dataclass(frozen=True, slots=True)
class View:
    """Camera and light: angles in radians, `light` a direction in the camera's axes."""

    azimuth: float
    elevation: float
    field_of_view: float = 0.6
    roll: float = 0.0
    light: tuple[float, float, float] = (0.4, 0.8, 0.5)
    ambient: float = 0.45


@dataclass(frozen=True, slots=True, eq=False)
class TexturedMesh:
    """A mesh with its textures (H, W, 3) by path, and the normals of its corners (T, 3, 3)."""

    geometry: Mesh
    textures: Mapping[str, Pixels]
    normals: Floats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "normals", _compute_normals(self.geometry))


def sample_view(rng: Generator) -> View:
    """Sample a view from any side, usually slightly from above, with a random light."""
    return View(
        azimuth=rng.uniform(0, 2 * np.pi),
        elevation=float(np.clip(rng.normal(0.3, 0.35), -0.6, 1.4)),
        field_of_view=rng.uniform(0.3, 1.0),
        light=(rng.uniform(-1, 1), rng.uniform(0.1, 1), rng.uniform(0.2, 1)),
        ambient=rng.uniform(0.3, 0.65),
    )


def render(mesh: TexturedMesh, view: View, side: int) -> tuple[Pixels, Pixels]:
    """Render a mesh.

    Args:
        mesh: The mesh.
        view: Camera and light.
        side: Side of the square image in pixels.

    Returns:
        RGBA (side, side, 4) uint8 with straight alpha, and part numbers (side, side) uint8: 1 to 6, 0 outside.
    """
    fine = side * SUPERSAMPLES
    rotation = _build_rotation(view)
    fragments = rasterize_triangles(
        _project(mesh.geometry.vertices @ rotation.T, view, fine)[mesh.geometry.faces], (fine, fine)
    )
    colors = _shade(mesh, view, rotation, fragments)
    canvas = np.zeros((fine * fine, 4), np.float32)
    canvas[fragments.pixels, :3] = colors
    canvas[fragments.pixels, 3] = 1
    mean = resize(canvas.reshape(fine, fine, 4), (side, side))
    alpha = mean[..., 3:]
    color = mean[..., :3] / np.maximum(alpha, 1e-6)
    rgba = np.concatenate([color, alpha], 2) * 255 + 0.5
    parts = np.zeros(fine * fine, np.uint8)
    parts[fragments.pixels] = _number_parts(mesh.geometry)[fragments.triangles]
    middle = parts.reshape(fine, fine)[SUPERSAMPLES // 2 :: SUPERSAMPLES, SUPERSAMPLES // 2 :: SUPERSAMPLES]
    return rgba.clip(0, 255).astype(np.uint8), middle


def render_cropped(mesh: TexturedMesh, view: View, side: int) -> tuple[Pixels, Pixels | None] | None:
    """Render a mesh and crop the image to it.

    Returns:
        The image, and the part numbers or None if there is only one part. None if the mesh covers less than 2 % of the
        square.
    """
    rgba, parts = render(mesh, view, side)
    solid = rgba[..., 3] >= 128
    if solid.mean() < 0.02:
        return None
    rows, columns = np.flatnonzero((rgba[..., 3] > 0).any(1)), np.flatnonzero((rgba[..., 3] > 0).any(0))
    crop = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    several = len(np.unique(parts[solid])) > 1
    return np.ascontiguousarray(rgba[crop]), np.ascontiguousarray(parts[crop]) if several else None


def _build_rotation(view: View) -> Floats:
    """Build the rotation (3, 3) from the mesh's axes to the camera's: azimuth, then elevation, then roll."""
    sa, ca = np.sin(view.azimuth), np.cos(view.azimuth)
    se, ce = np.sin(view.elevation), np.cos(view.elevation)
    sr, cr = np.sin(view.roll), np.cos(view.roll)
    about = np.array([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]])
    tilt = np.array([[1, 0, 0], [0, ce, -se], [0, se, ce]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(roll @ tilt @ about, np.float32)


def _project(points: Floats, view: View, side: int) -> Floats:
    """Project points (V, 3) in the camera's axes to (x, y, depth), with x and y in pixels.

    The unit sphere fills the square.
    """
    distance = 1.02 / np.sin(view.field_of_view / 2)
    focal = 1 / np.tan(view.field_of_view / 2)
    depth = distance - points[:, 2]
    x = (points[:, 0] * focal / depth * 0.5 + 0.5) * side
    y = (-points[:, 1] * focal / depth * 0.5 + 0.5) * side
    return np.asarray(np.stack([x, y, depth], 1), np.float32)


def _compute_normals(mesh: Mesh) -> Floats:
    """Compute corner normals (T, 3, 3): the mean of the faces around a point, or the face's normal at a crease."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    scaled = np.cross(b - a, c - a)
    _, point = np.unique(mesh.vertices, axis=0, return_inverse=True)
    corners = point.reshape(-1)[mesh.faces]
    total = np.stack(
        [np.bincount(corners.ravel(), np.repeat(scaled[:, axis], 3), int(corners.max()) + 1) for axis in range(3)], 1
    )
    face_normals = scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)
    smooth = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    corner = smooth[corners]
    agrees = np.einsum("tkc,tc->tk", corner, face_normals) > CREASE_COSINE
    return np.asarray(np.where(agrees[..., None], corner, face_normals[:, None]), np.float32)


def _shade(mesh: TexturedMesh, view: View, rotation: Floats, fragments: Fragments) -> Floats:
    """Compute the colors (F, 3) of the fragments in [0, 1]."""
    normals = np.einsum("fkc,fk->fc", mesh.normals[fragments.triangles], fragments.weights) @ rotation.T
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    normals[normals[:, 2] < 0] *= -1  # the winding of faces is not consistent: shade both sides
    light = np.array(view.light, np.float32) / np.linalg.norm(view.light)
    halfway = light + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    diffuse = np.maximum(normals @ light, 0)
    gloss = np.maximum(normals @ halfway, 0) ** 32
    sky = view.ambient * (0.7 + 0.3 * normals[:, 1])
    shade = sky + (1.1 - view.ambient) * diffuse
    return np.asarray(
        np.clip(_sample_albedo(mesh, fragments) * shade[:, None] + 0.12 * gloss[:, None], 0, 1), np.float32
    )


def _sample_albedo(mesh: TexturedMesh, fragments: Fragments) -> Floats:
    """Look up the colors (F, 3) of the materials or their textures."""
    geometry = mesh.geometry
    owner = geometry.face_materials[fragments.triangles]
    colors = np.array([material.color for material in geometry.materials], np.float32)[owner]
    for number, material in enumerate(geometry.materials):
        texture = mesh.textures.get(material.texture) if material.texture else None
        if texture is None:
            continue
        covered = np.flatnonzero(owner == number)
        corners = geometry.coordinates[geometry.faces[fragments.triangles[covered]]]
        u, v = np.einsum("fkc,fk->cf", corners, fragments.weights[covered])
        height, width = texture.shape[:2]
        rows = ((1 - v) % 1 * height).astype(np.int64) % height
        columns = (u % 1 * width).astype(np.int64) % width
        colors[covered] = texture[rows, columns] * np.float32(1 / 255)
    return colors


def _number_parts(mesh: Mesh) -> NDArray[np.uint8]:
    """Return a part number (1 to 6) for every face: the largest materials have their own, all others share the last."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    share = np.bincount(mesh.face_materials, areas, len(mesh.materials))
    rank = np.empty(len(share), np.int64)
    rank[np.argsort(-share)] = np.arange(len(share))
    return (np.minimum(rank, MAX_PARTS - 1) + 1).astype(np.uint8)[mesh.face_materials]

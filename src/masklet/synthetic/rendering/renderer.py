"""Pictures of meshes: a camera, a light, textures and shading, with the outline and the parts exact.

Shading is Lambert and Blinn-Phong with one light and a sky that is brighter above; normals are smooth but for creases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.image_filters import resized
from masklet.synthetic.rendering.meshes import Mesh
from masklet.synthetic.rendering.rasterizer import Fragments, rasterise

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

CREASE = np.cos(np.radians(50))
"""Faces that meet at a sharper angle than this keep an edge between them."""
SUPERSAMPLES = 2
"""Each pixel is the mean of this many squared."""
MOST_PARTS = 6


@dataclass(frozen=True, slots=True)
class View:
    """Where the camera is and how the light falls: angles in radians, `light` a direction in the camera's axes."""

    azimuth: float
    elevation: float
    field_of_view: float = 0.6
    roll: float = 0.0
    light: tuple[float, float, float] = (0.4, 0.8, 0.5)
    ambient: float = 0.45


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A mesh ready for rendering: corner normals worked out, textures decoded."""

    mesh: Mesh
    skins: Mapping[str, Pixels]
    normals: Floats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "normals", _corner_normals(self.mesh))


def random_view(rng: Generator) -> View:
    """A view from any side, mostly from a little above, under a random light."""
    return View(
        azimuth=rng.uniform(0, 2 * np.pi),
        elevation=float(np.clip(rng.normal(0.3, 0.35), -0.6, 1.4)),
        field_of_view=rng.uniform(0.3, 1.0),
        light=(rng.uniform(-1, 1), rng.uniform(0.1, 1), rng.uniform(0.2, 1)),
        ambient=rng.uniform(0.3, 0.65),
    )


def render(model: Model, view: View, side: int) -> tuple[Pixels, Pixels]:
    """The model as RGBA (side, side, 4) with straight alpha, and its parts (side, side): 1..6, 0 where it is not."""
    fine = side * SUPERSAMPLES
    turn = _turn(view)
    fragments = rasterise(_projected(model.mesh.vertices @ turn.T, view, fine)[model.mesh.faces], (fine, fine))
    colours = _shaded(model, view, turn, fragments)
    canvas = np.zeros((fine * fine, 4), np.float32)
    canvas[fragments.pixels, :3] = colours
    canvas[fragments.pixels, 3] = 1
    mean = resized(canvas.reshape(fine, fine, 4), (side, side))
    alpha = mean[..., 3:]
    colour = mean[..., :3] / np.maximum(alpha, 1e-6)
    rgba = np.concatenate([colour, alpha], 2) * 255 + 0.5
    parts = np.zeros(fine * fine, np.uint8)
    parts[fragments.pixels] = _part_numbers(model.mesh)[fragments.triangles]
    middle = parts.reshape(fine, fine)[SUPERSAMPLES // 2 :: SUPERSAMPLES, SUPERSAMPLES // 2 :: SUPERSAMPLES]
    return rgba.clip(0, 255).astype(np.uint8), middle


def render_cropped(model: Model, view: View, side: int) -> tuple[Pixels, Pixels | None] | None:
    """The rendering cropped to the object, its parts only if it has several; None under a fiftieth of the square."""
    rgba, parts = render(model, view, side)
    solid = rgba[..., 3] >= 128
    if solid.mean() < 0.02:
        return None
    rows, columns = np.flatnonzero((rgba[..., 3] > 0).any(1)), np.flatnonzero((rgba[..., 3] > 0).any(0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    several = len(np.unique(parts[solid])) > 1
    return np.ascontiguousarray(rgba[window]), np.ascontiguousarray(parts[window]) if several else None


def _turn(view: View) -> Floats:
    """Rotation from the model's axes to the camera's: about the vertical, then up or down, then in the picture."""
    sa, ca = np.sin(view.azimuth), np.cos(view.azimuth)
    se, ce = np.sin(view.elevation), np.cos(view.elevation)
    sr, cr = np.sin(view.roll), np.cos(view.roll)
    about = np.array([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]])
    tilt = np.array([[1, 0, 0], [0, ce, -se], [0, se, ce]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(roll @ tilt @ about, np.float32)


def _projected(points: Floats, view: View, side: int) -> Floats:
    """Camera-space points as (x, y in pixels, depth): the unit sphere just fills the square."""
    distance = 1.02 / np.sin(view.field_of_view / 2)
    focal = 1 / np.tan(view.field_of_view / 2)
    depth = distance - points[:, 2]
    x = (points[:, 0] * focal / depth * 0.5 + 0.5) * side
    y = (-points[:, 1] * focal / depth * 0.5 + 0.5) * side
    return np.asarray(np.stack([x, y, depth], 1), np.float32)


def _corner_normals(mesh: Mesh) -> Floats:
    """Normals (T, 3, 3): the mean of the faces around a point, or the face's own where they meet at a crease."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    scaled = np.cross(b - a, c - a)
    _, point = np.unique(mesh.vertices, axis=0, return_inverse=True)
    corners = point.reshape(-1)[mesh.faces]
    total = np.stack(
        [np.bincount(corners.ravel(), np.repeat(scaled[:, axis], 3), int(corners.max()) + 1) for axis in range(3)], 1
    )
    own = scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)
    smooth = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    corner = smooth[corners]
    agrees = np.einsum("tkc,tc->tk", corner, own) > CREASE
    return np.asarray(np.where(agrees[..., None], corner, own[:, None]), np.float32)


def _shaded(model: Model, view: View, turn: Floats, fragments: Fragments) -> Floats:
    """Colours (F, 3) 0-1 of the fragments."""
    normals = np.einsum("fkc,fk->fc", model.normals[fragments.triangles], fragments.weights) @ turn.T
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    normals[normals[:, 2] < 0] *= -1  # models are not always wound one way: every face is seen from its front
    light = np.array(view.light, np.float32) / np.linalg.norm(view.light)
    halfway = light + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    diffuse = np.maximum(normals @ light, 0)
    gloss = np.maximum(normals @ halfway, 0) ** 32
    sky = view.ambient * (0.7 + 0.3 * normals[:, 1])
    shade = sky + (1.1 - view.ambient) * diffuse
    return np.asarray(np.clip(_albedo(model, fragments) * shade[:, None] + 0.12 * gloss[:, None], 0, 1), np.float32)


def _albedo(model: Model, fragments: Fragments) -> Floats:
    """Colours (F, 3) of the materials, from their textures where they have one."""
    mesh = model.mesh
    owner = mesh.face_materials[fragments.triangles]
    colours = np.array([material.colour for material in mesh.materials], np.float32)[owner]
    for number, material in enumerate(mesh.materials):
        skin = model.skins.get(material.texture) if material.texture else None
        if skin is None:
            continue
        covered = np.flatnonzero(owner == number)
        corners = mesh.coordinates[mesh.faces[fragments.triangles[covered]]]
        u, v = np.einsum("fkc,fk->cf", corners, fragments.weights[covered])
        height, width = skin.shape[:2]
        rows = ((1 - v) % 1 * height).astype(np.int64) % height
        columns = (u % 1 * width).astype(np.int64) % width
        colours[covered] = skin[rows, columns] * np.float32(1 / 255)
    return colours


def _part_numbers(mesh: Mesh) -> NDArray[np.uint8]:
    """A part (1..6) for every face: one for each of the largest materials, the rest together."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    share = np.bincount(mesh.face_materials, areas, len(mesh.materials))
    rank = np.empty(len(share), np.int64)
    rank[np.argsort(-share)] = np.arange(len(share))
    return (np.minimum(rank, MOST_PARTS - 1) + 1).astype(np.uint8)[mesh.face_materials]

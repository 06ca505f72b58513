"""Mesh import: models of furniture catalogs as decimated meshes, and the textures that they use."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.synthetic.image_filters import fit
from masklet.synthetic.pack import Asset, encode_webp
from masklet.synthetic.rendering.meshes import Mesh, encode_mesh
from tools.pack.archives import Member
from tools.pack.licenses import Terms
from tools.pack.mesh_simplification import simplify_mesh
from tools.pack.obj import parse_mtl, parse_obj

MAX_TRIANGLES = 4800
TEXTURE_SIDE, TEXTURE_QUALITY = 256, 78  # pixels of the longer side; quality of the WebP file
CATALOG = "PluginFurnitureCatalog.properties"


def import_meshes(
    package: str, members: Sequence[Member], find_terms: Callable[[str], Terms]
) -> Iterator[tuple[Asset, bytes]]:
    """Yield the meshes and textures of the OBJ models of a package, in the order of their paths.

    Models that cannot be read, or that have no triangle left after decimation, are left out. A texture that cannot be
    decoded is left out too, and its material keeps its plain color.

    Args:
        package: Name of the package.
        members: OBJ and MTL files, textures and catalogs.
        find_terms: Returns the terms of a file. The `creator` of a model in its catalog takes the author's place.
    """
    files = {member.path: member.data for member in members}
    catalog = _read_catalogs(files)
    textures: set[str] = set()
    for path in sorted(files):
        mesh = _import_mesh(path, files, catalog.get(path, {})) if path.endswith(".obj") else None
        if mesh is None:
            continue
        file_terms = find_terms(path)
        terms = Terms(file_terms.license, catalog.get(path, {}).get("creator") or file_terms.author)
        for texture in sorted({m.texture for m in mesh.materials if m.texture} - textures):
            textures.add(texture)
            pixels = _decode(files[texture])
            assert pixels is not None  # _import_mesh has checked it
            data = encode_webp(pixels, TEXTURE_QUALITY)
            yield Asset("skin", package, texture, terms.license, terms.author, pixels.shape[:2]), data
        size = (len(mesh.vertices), len(mesh.faces))
        yield Asset("mesh", package, path, terms.license, terms.author, size), encode_mesh(mesh)


def _import_mesh(path: str, files: dict[str, bytes], entry: dict[str, str]) -> Mesh | None:
    text = files[path].decode("utf-8", "replace")
    folder = posixpath.dirname(path)
    library = re.search(r"^mtllib\s+(.+?)\s*$", text, re.MULTILINE)
    mtl = files.get(posixpath.normpath(posixpath.join(folder, library[1]))) if library else None
    materials = parse_mtl(mtl.decode("utf-8", "replace")) if mtl else {}
    for name, material in materials.items():
        texture = material.texture and posixpath.normpath(posixpath.join(folder, material.texture))
        is_readable = bool(texture) and texture in files and _decode(files[texture]) is not None
        materials[name] = replace(material, texture=texture if is_readable else None)
    try:
        model = parse_obj(text, materials)
    except (FormatError, ValueError):  # one broken model does not make the package unusable
        return None
    rotation = entry.get("modelRotation")
    matrix = np.array(rotation.split(), np.float32).reshape(3, 3) if rotation else None
    return simplify_mesh(model, MAX_TRIANGLES, matrix)


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    """Decode a texture as RGB (H, W, 3) with at most `TEXTURE_SIDE` pixels a side, None if it is no image."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else fit(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), TEXTURE_SIDE)


def _read_catalogs(files: dict[str, bytes]) -> dict[str, dict[str, str]]:
    """Read the properties of each model from `key#number=value` lines; the keys are the paths of the models."""
    properties: dict[str, dict[str, str]] = {}
    for path, data in files.items():
        if posixpath.basename(path) != CATALOG:
            continue
        entries: dict[str, dict[str, str]] = {}
        for key, number, value in re.findall(r"^(\w+)#(\d+)=(.*?)\s*$", data.decode("latin-1"), re.MULTILINE):
            entries.setdefault(number, {})[key] = value
        root = posixpath.dirname(path)
        properties |= {f"{root}{entry['model']}": entry for entry in entries.values() if "model" in entry}
    return properties

"""Turn furniture catalogues into pack assets: each model decimated, each texture it uses stored once as its skin."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.synthetic.packs.archives import Member
from masklet.synthetic.packs.licenses import Terms
from masklet.synthetic.packs.pack import Asset, encode_picture
from masklet.synthetic.packs.selection import fit
from masklet.synthetic.rendering.meshes import Mesh, encode_mesh, simplified
from masklet.synthetic.rendering.obj import parse_mtl, parse_obj

MOST_TRIANGLES = 4800
SKIN_SIDE, SKIN_QUALITY = 256, 78


def mesh_assets(
    package: str, members: Sequence[Member], terms: Callable[[str], Terms]
) -> Iterator[tuple[Asset, bytes]]:
    """Meshes and skins of the models in `members` (OBJ, MTL, textures, catalogue), in the order of their paths.

    The author of a model is its `creator` in the catalogue. Models that cannot be read or that vanish when simplified
    are left out, as are textures that cannot be decoded (their material keeps its plain colour).
    """
    files = {member.path: member.data for member in members}
    catalogue = _catalogue(files)
    skins: set[str] = set()
    for path in sorted(files):
        mesh = _mesh(path, files, catalogue.get(path, {})) if path.endswith(".obj") else None
        if mesh is None:
            continue
        stated = terms(path)
        terms_here = Terms(stated.licence, catalogue.get(path, {}).get("creator") or stated.author)
        for texture in sorted({m.texture for m in mesh.materials if m.texture} - skins):
            skins.add(texture)
            skin = _decoded(files[texture])
            assert skin is not None  # _mesh has checked it
            yield _asset("skin", package, texture, terms_here, skin.shape[:2]), encode_picture(skin, SKIN_QUALITY)
        yield _asset("mesh", package, path, terms_here, (len(mesh.vertices), len(mesh.faces))), encode_mesh(mesh)


def _asset(kind: str, package: str, path: str, terms: Terms, size: tuple[int, ...]) -> Asset:
    assert kind in ("mesh", "skin")
    return Asset("mesh" if kind == "mesh" else "skin", package, path, terms.licence, terms.author, (size[0], size[1]))


def _mesh(path: str, files: dict[str, bytes], entry: dict[str, str]) -> Mesh | None:
    text = files[path].decode("utf-8", "replace")
    folder = posixpath.dirname(path)
    library = re.search(r"^mtllib\s+(.+?)\s*$", text, re.MULTILINE)
    mtl = files.get(posixpath.normpath(posixpath.join(folder, library[1]))) if library else None
    materials = parse_mtl(mtl.decode("utf-8", "replace")) if mtl else {}
    found = {}
    for name, material in materials.items():
        texture = material.texture and posixpath.normpath(posixpath.join(folder, material.texture))
        readable = bool(texture) and texture in files and _decoded(files[texture]) is not None
        found[name] = replace(material, texture=texture if readable else None)
    try:
        model = parse_obj(text, found)
    except (FormatError, ValueError):  # a face or a number that is none: one broken model, not a broken package
        return None
    rotation = entry.get("modelRotation")
    matrix = np.array(rotation.split(), np.float32).reshape(3, 3) if rotation else None
    return simplified(model, MOST_TRIANGLES, matrix)


def _decoded(data: bytes) -> NDArray[np.uint8] | None:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else fit(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8), SKIN_SIDE)


def _catalogue(files: dict[str, bytes]) -> dict[str, dict[str, str]]:
    """Properties of each model by the path of its file, from the catalogues' `key#number=value` lines."""
    result: dict[str, dict[str, str]] = {}
    for path, data in files.items():
        if posixpath.basename(path) != "PluginFurnitureCatalog.properties":
            continue
        entries: dict[str, dict[str, str]] = {}
        for key, number, value in re.findall(r"^(\w+)#(\d+)=(.*?)\s*$", data.decode("latin-1"), re.MULTILINE):
            entries.setdefault(number, {})[key] = value
        root = posixpath.dirname(path)
        result |= {f"{root}{entry['model']}": entry for entry in entries.values() if "model" in entry}
    return result

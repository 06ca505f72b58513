"""Masks as polygons of GeoJSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.masks.polygons import trace_rings
from masklet.serve.protocols.main_parts import select_main_parts


def make_geometry(mask: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Return a mask (H, W) as a `Polygon` with its holes, or as a `MultiPolygon` if it has several components.

    Coordinates are pixels, (x, y), with integers at the corners of pixels, as in QuPath. The first point of a ring is
    repeated at its end. Specks are left out (`select_main_parts`). An empty mask is None.
    """
    traced = trace_rings(select_main_parts(mask))
    components = [[[*ring.tolist(), ring[0].tolist()] for ring in rings] for rings in traced]
    if len(components) > 1:
        return {"type": "MultiPolygon", "coordinates": components}
    return {"type": "Polygon", "coordinates": components[0]} if components else None

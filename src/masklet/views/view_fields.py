"""Views as the fields of session files and job logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from masklet.errors import SettingsError
from masklet.views.tiled_view import TiledView
from masklet.views.view import WHOLE_VIEW, View
from masklet.views.zoom_view import ZoomView


def view_of_zoom(zoom: float) -> View:
    """Return the view of a zoom: the whole image for 0, else a crop around each object.

    Raises:
        SettingsError: The zoom is neither 0 nor from 1 to 100.
    """
    return ZoomView(zoom) if zoom else WHOLE_VIEW


def write_view(view: View) -> dict[str, Any]:
    """Return a view as JSON values.

    Raises:
        SettingsError: The view is not one of masklet's, so that it cannot be read again.
    """
    if isinstance(view, ZoomView):
        return {"zoom": view.zoom}
    if isinstance(view, TiledView):
        return {"zoom": 0.0, "tile": view.tile}
    if view != WHOLE_VIEW:
        raise SettingsError("bad-usage", f"{view!r} cannot be saved; sessions can have a zoom or a TiledView")
    return {"zoom": 0.0}


def read_view(fields: Mapping[str, Any]) -> View:
    """Return the view that `write_view` wrote. Files of version 0.1 have a zoom or nothing."""
    return TiledView(int(fields["tile"])) if "tile" in fields else view_of_zoom(float(fields.get("zoom", 0.0)))

"""Views by the fields of session files and job logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from masklet.views.tiled_view import TiledView
from masklet.views.view import WHOLE_VIEW, View
from masklet.views.zoom_view import ZoomView


def view_of_zoom(zoom: float) -> View:
    """Return the view of a zoom: the whole image for 0, else a crop around each object.

    Raises:
        SettingsError: The zoom is neither 0 nor from 1 to 100.
    """
    return ZoomView(zoom) if zoom else WHOLE_VIEW


def read_view(fields: Mapping[str, Any]) -> View:
    """Return the view that `View.to_fields` wrote. Files of version 0.1 have a zoom or nothing."""
    if "tile" in fields:
        return TiledView(int(fields["tile"]))
    return view_of_zoom(float(fields.get("zoom", 0.0)))

"""Widget for Jupyter: click on an image, and read the masks in Python.

Needs anywidget, the extra `notebook`. JupyterLab, Jupyter Notebook, VS Code, Colab and marimo can show the widget.
"""

from __future__ import annotations

from masklet.errors import BackendError

try:
    import anywidget  # noqa: F401
except ModuleNotFoundError as missing:
    if missing.name != "anywidget":
        raise
    hint = 'pip install ".[notebook]"'
    raise BackendError("backend-missing", "the widget for Jupyter needs anywidget", hint=hint) from missing

from masklet.integrations.notebook.segment_widget import SegmentWidget

__all__ = ["SegmentWidget"]

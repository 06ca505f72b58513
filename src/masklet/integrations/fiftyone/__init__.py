"""Models for FiftyOne's `apply_model`: prompts, automatic masks and tracking in datasets and views.

Needs `pip install fiftyone`.
"""

from __future__ import annotations

from masklet.errors import BackendError

try:
    import fiftyone  # noqa: F401
except ModuleNotFoundError as missing:
    if missing.name != "fiftyone":
        raise
    message = "masklet.integrations.fiftyone needs fiftyone, which is not installed"
    raise BackendError("backend-missing", message, hint="pip install fiftyone") from missing

from masklet.integrations.fiftyone.image_model import ImageModel
from masklet.integrations.fiftyone.labels import read_prompts, to_detections, to_segmentation
from masklet.integrations.fiftyone.video_model import VideoModel

__all__ = ["ImageModel", "VideoModel", "read_prompts", "to_detections", "to_segmentation"]

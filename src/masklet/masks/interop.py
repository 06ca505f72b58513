"""Masks as objects of other libraries: tensors of PyTorch and detections of supervision."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import BackendError
from masklet.masks.labels import UNLABELED, number_classes


def make_tensor(masks: NDArray[np.bool_]) -> Any:
    """Copy masks (N, H, W) into a `torch.Tensor`. Raises `BackendError` if PyTorch is not installed."""
    return _import_optional("torch", "pip install torch").from_numpy(masks.copy())


def make_detections(
    masks: NDArray[np.bool_],
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    object_ids: Sequence[int],
    labels: Sequence[str | None],
) -> Any:
    """Copy masks (N, H, W), boxes (N, 4) xyxy, scores (N,), N object ids and N labels into `supervision.Detections`.

    Raises:
        BackendError: `backend-missing`. supervision is not installed.
    """
    names, classes = [label or UNLABELED for label in labels], number_classes(labels)
    return _import_optional("supervision", "pip install supervision").Detections(
        xyxy=boxes.copy(),
        mask=masks.copy(),
        confidence=scores.copy(),
        class_id=np.array([classes[name] for name in names], np.int64),
        tracker_id=np.array(object_ids, np.int64),
        **({"data": {"class_name": np.array(names)}} if any(labels) else {}),
    )


def _import_optional(name: str, install: str) -> Any:
    """Import a package that masklet does not depend on."""
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        raise BackendError("backend-missing", f"{name} is not installed", hint=install) from missing

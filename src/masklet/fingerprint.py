"""Are these the pictures of last time? Told by their size and by samples: a film takes no longer than a clip."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from masklet import rle
from masklet.files.open_input import open_input
from masklet.propagate import Schedule
from masklet.video.folder import pictures_of

_SAMPLES = 64  # per file, spread over it evenly, the first and the last bytes among them
_SAMPLE = 1 << 16  # bytes


def of_source(path: Path) -> dict[str, Any]:
    """What a video file, a folder of pictures or a pattern is, wherever it lies."""
    pictures = pictures_of(str(path))
    if pictures is None:
        return {"bytes": path.stat().st_size, "sha256_of_samples": _digest(path)}
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.name}\n{_digest(picture)}\n".encode())
    return {"pictures": len(pictures), "sha256_of_samples": digest.hexdigest()}


def of_prompts(schedule: Schedule) -> dict[str, Any]:
    """What was prompted, by frame and object."""
    told: dict[str, Any] = {}
    for frame, prompts in schedule.items():
        for object_id, prompt in prompts.items():
            points = [
                [*point, label] for point, label in zip(prompt.points.tolist(), prompt.labels.tolist(), strict=True)
            ]
            mask = (
                None if prompt.mask is None else hashlib.sha256(rle.encode(prompt.mask)["counts"].encode()).hexdigest()
            )
            told[f"object {object_id} on frame {frame}"] = {"points": points, "mask": mask}
    return told


def _digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open_input(path) as file:
        for sample in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE) * sample // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE))
            if size <= _SAMPLE:
                break
    return digest.hexdigest()

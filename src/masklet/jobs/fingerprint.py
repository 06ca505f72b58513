"""Are these the pictures of last time? Told by their size and by samples: a film takes no longer than a clip."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from masklet.files.hashing import sha256, sha256_of_samples
from masklet.masks import rle
from masklet.tracking.propagate import Schedule
from masklet.video.frame_folder import find_frame_files


def fingerprint_source(path: Path) -> dict[str, Any]:
    """What a video file, a folder of pictures or a pattern is, wherever it lies."""
    pictures = find_frame_files(str(path))
    if pictures is None:
        return {"bytes": path.stat().st_size, "sha256_of_samples": sha256_of_samples(path)}
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.name}\n{sha256_of_samples(picture)}\n".encode())
    return {"pictures": len(pictures), "sha256_of_samples": digest.hexdigest()}


def fingerprint_prompts(schedule: Schedule) -> dict[str, Any]:
    """What was prompted, by frame and object."""
    told: dict[str, Any] = {}
    for frame, prompts in schedule.items():
        for object_id, prompt in prompts.items():
            points = [
                [*point, label] for point, label in zip(prompt.points.tolist(), prompt.labels.tolist(), strict=True)
            ]
            mask = None if prompt.mask is None else sha256(rle.encode(prompt.mask)["counts"].encode())
            told[f"object {object_id} on frame {frame}"] = {"points": points, "mask": mask}
    return told

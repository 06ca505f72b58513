"""Fingerprints of a video and of prompts, with which a resumed job checks that its input is the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from masklet.files.hashing import sha256, sha256_of_samples
from masklet.masks import rle
from masklet.tracking.schedule import Schedule
from masklet.video.frame_folder import find_frame_files
from masklet.video.stacks.detection import list_series


def fingerprint_source(path: Path) -> dict[str, Any]:
    """Return sizes and hashes of a video file, of a folder of images or of a pattern, independent of its path.

    Only samples of each file are hashed, so that the time does not depend on the length of a video.
    """
    files = find_frame_files(str(path)) or list_series(path) or None
    if files is None:
        return {"bytes": path.stat().st_size, "sha256_of_samples": sha256_of_samples(path)}
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(f"{file.name}\n{sha256_of_samples(file)}\n"))
    return {"pictures": len(files), "sha256_of_samples": digest.hexdigest()}


def fingerprint_prompts(schedule: Schedule) -> dict[str, Any]:
    """Return the points, the hash of the mask and the label of each prompt, by frame and object."""
    fingerprints: dict[str, Any] = {}
    for frame, prompts in schedule.items():
        for object_id, prompt in prompts.items():
            points = [
                [*point, label] for point, label in zip(prompt.points.tolist(), prompt.labels.tolist(), strict=True)
            ]
            mask = None if prompt.mask is None else sha256(rle.encode(prompt.mask)["counts"].encode())
            label = {"label": prompt.label} if prompt.label else {}
            fingerprints[f"object {object_id} on frame {frame}"] = {"points": points, "mask": mask, **label}
    return fingerprints

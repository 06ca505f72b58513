"""Record the candidates of a tracked object in examples/car.mp4 as scores.npz: `python tests/memory/record_scores.py`.

The clip is made harder: frames 24 to 29 are gray, and from frame 36 on a mirrored copy of the car moves toward the car.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import masklet
from masklet.masks.iou import masks_to_boxes
from masklet.masks.resize import resize_logits

FOLDER = Path(__file__).parent
FRAMES, HIDDEN, COPIED = 60, range(24, 30), 36


class DecoderRecorder:
    """A backend that also collects what its decoder returned."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.decoded: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def decode(self, *arguments: Any, **options: Any) -> Any:
        self.decoded.append(self.backend.decode(*arguments, **options))
        return self.decoded[-1]


def change_frame(frame: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hide the car, or add its mirrored copy, which moves toward it."""
    image = image.copy()
    if frame in HIDDEN:
        image[:] = 128
    if frame >= COPIED:
        left = 384 - 190 - 2 * (frame - COPIED)
        image[20:140, left : left + 190] = cv2.flip(image[160:280, 30:220], 1)
    return image


def main() -> None:
    """Track the car and write scores.npz."""
    model = masklet.load("nano", zoom=0)
    video = masklet.open_video(FOLDER.parents[1] / "examples" / "car.mp4")
    recorder = DecoderRecorder(model.backend)
    tracker = model.tracker()
    tracker.prompt(0, {1: masklet.click(200, 200)}, video[0])
    tracker.backend = recorder
    for frame in range(1, FRAMES):
        tracker.step(frame, change_frame(frame, video[frame]))
    found = [model.backend.fetch_candidates(decoded) for decoded in recorder.decoded]
    masks = [np.stack([resize_logits(one, (384, 384)) > 0 for one in candidates.logits]) for candidates in found]
    np.savez_compressed(
        FOLDER / "scores.npz",
        iou=np.stack([candidates.iou for candidates in found]),
        object_score=np.array([float(decoded.object_score[0, 0]) for decoded in recorder.decoded], np.float32),
        masks=np.packbits(np.stack([candidates.logits > 0 for candidates in found]), axis=-1),  # (T, 3, 64, 8)
        boxes=np.stack([masks_to_boxes(one) for one in masks]).astype(np.int16),
        areas=np.stack([one.sum(axis=(1, 2)) for one in masks]).astype(np.int32),
    )


if __name__ == "__main__":
    main()

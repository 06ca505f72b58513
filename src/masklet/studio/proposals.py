"""Proposals of the studio: masks on a frame that the mask generator or a detector found, and that become objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.detectors.detected_objects import segment_detections
from masklet.detectors.detections import run_detector
from masklet.detectors.matching import KnownMask, list_known
from masklet.errors import PromptError
from masklet.masks import rle
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_in_steps
from masklet.project.project import Project
from masklet.studio.displayed_masks import BinaryMessage, reduce_size, resize_mask
from masklet.studio.embeddings import Embeddings
from masklet.studio.frames import BoundedCache, DecodedFrames
from masklet.studio.messages import encode_runs, pack_masks
from masklet.studio.text_prompts import TextPrompts

_OPTIONS = MaskGeneratorOptions(points_per_batch=16)  # small batches, so that a click waits for few points
_BOXES_PER_BATCH = 8
_MAX_BYTES = 16 << 20


class Proposal(NamedTuple):
    """Mask that can be taken as an object.

    Attributes:
        rle: COCO's RLE of the mask.
        score: Predicted IoU.
        label: Class that a detector found, or None.
        detection_score: Score of the detector, or None.
    """

    rle: dict[str, Any]
    score: float
    label: str | None = None
    detection_score: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return the fields of the mask in the message `proposals`."""
        found = {"label": self.label, "detection_score": self.detection_score} if self.label else {}
        return {"score": self.score, **found}


class Proposals:
    """Proposals by frame, the latest ones. Threads may share it.

    Args:
        project: The project. What has a mask there gets no proposal.
        frames: Decoded frames.
    """

    def __init__(self, project: Project, frames: DecodedFrames) -> None:
        self._project, self._frames = project, frames
        self._found = BoundedCache[list[Proposal]](_MAX_BYTES)

    def generate(self, model: Embeddings, medium: int, frame: int) -> Iterator[Any]:
        """Generate masks on a frame, a batch of points in each step. Raises `MaskletError`."""
        image, region = self._frames.read(medium, frame), self._find_free_pixels(medium, frame)
        generated = yield from generate_in_steps(model.model.backend, image, _OPTIONS, region=region)
        self._store(medium, frame, [Proposal(mask.rle, mask.score) for mask in generated])

    def detect(
        self, model: Embeddings, medium: int, frame: int, classes: tuple[str, ...], prompts: TextPrompts
    ) -> Iterator[Any]:
        """Detect classes on a frame, then predict masks, a batch of boxes in each step. Raises `MaskletError`."""
        detector = prompts.make(classes)
        yield
        found = run_detector(detector, self._frames.read(medium, frame))
        found = found[found.scores >= np.float32(prompts.min_score_of(detector))]
        known, proposals = self._list_known(medium, frame), list[Proposal]()
        embedded = model.open(medium, frame)
        for start in range(0, len(found), _BOXES_PER_BATCH):
            yield
            masks, detections = segment_detections(embedded, found[start : start + _BOXES_PER_BATCH], known)
            known += list_known(masks)
            columns = (masks.to_rle(), masks.scores.tolist(), detections.labels, detections.scores.tolist())
            proposals += map(Proposal, *columns)
        self._store(medium, frame, proposals)

    def make_message(self, medium: int, frame: int) -> BinaryMessage:
        """Return the message `proposals` of the masks of a frame. Raises `PromptError` if there are none."""
        proposals = self._get(medium, frame)
        size = reduce_size(self._project.document.medium(medium).size)
        header = {"kind": "proposals", "medium": medium, "frame": frame, "size": [*size]}
        rows = ((one.describe(), encode_runs(resize_mask(rle.decode(one.rle), size))) for one in proposals)
        return pack_masks(header, rows)

    def take(self, medium: int, frame: int, indices: list[int]) -> list[Proposal]:
        """Return proposals by their positions in the message. Raises `PromptError` if there are none."""
        proposals = self._get(medium, frame)
        unknown = [index for index in indices if index >= len(proposals)]
        if unknown:
            message = f"there is no proposal {unknown[0]}, only 0 to {len(proposals) - 1}"
            raise PromptError("unknown-object", message)
        return [proposals[index] for index in dict.fromkeys(indices)]

    def _store(self, medium: int, frame: int, proposals: list[Proposal]) -> None:
        size = sum(len(one.rle["counts"]) for one in proposals) + 1
        self._found.put((medium, frame), proposals, size)

    def _get(self, medium: int, frame: int) -> list[Proposal]:
        proposals = self._found.get((medium, frame))
        if proposals is None:
            message = f"frame {frame} has no proposals any more; request them again"
            raise PromptError("unknown-object", message)
        return proposals

    def _find_free_pixels(self, medium: int, frame: int) -> NDArray[np.bool_] | None:
        """Return the pixels without a mask, or None if there are no masks."""
        known = self._list_known(medium, frame)
        covered = np.zeros(self._project.masks(medium).size, bool)
        for one in known:
            covered |= one.mask
        return ~covered if known else None

    def _list_known(self, medium: int, frame: int) -> list[KnownMask]:
        """Return the masks of the objects on a frame."""
        store, document = self._project.masks(medium), self._project.document
        return [
            KnownMask(document.label_of(medium, object_id), store.read(cell.mask))
            for object_id, cell in document.cells_at(medium, frame).items()
            if cell.mask is not None and cell.visible
        ]

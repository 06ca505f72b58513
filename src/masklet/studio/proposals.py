"""Proposals of the studio: masks of the mask generator on a frame, which can be taken as objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import PromptError
from masklet.masks import rle
from masklet.predict.generated_masks import GeneratedMask, GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_in_steps
from masklet.project.project import Project
from masklet.studio.displayed_masks import BinaryMessage, reduce_size, resize_mask
from masklet.studio.embeddings import Embeddings
from masklet.studio.frames import BoundedCache, DecodedFrames
from masklet.studio.messages import encode_runs, pack_masks

_OPTIONS = MaskGeneratorOptions(points_per_batch=16)  # small batches, so that a click waits for few points
_MAX_BYTES = 16 << 20


class Proposals:
    """Generated masks by frame, the latest ones. Threads may share it.

    Args:
        project: The project. Pixels of its masks get no proposals.
        frames: Decoded frames.
    """

    def __init__(self, project: Project, frames: DecodedFrames) -> None:
        self._project, self._frames = project, frames
        self._generated = BoundedCache[GeneratedMasks](_MAX_BYTES)

    def generate(self, model: Embeddings, medium: int, frame: int) -> Iterator[Any]:
        """Generate masks on a frame, a batch of points in each step. Raises `MaskletError`."""
        image, region = self._frames.read(medium, frame), self._find_free_pixels(medium, frame)
        generated = yield from generate_in_steps(model.model.backend, image, _OPTIONS, region=region)
        size = sum(len(mask.rle["counts"]) for mask in generated) + 1
        self._generated.put((medium, frame), generated, size)

    def make_message(self, medium: int, frame: int) -> BinaryMessage:
        """Return the message `proposals` of the masks of a frame. Raises `PromptError` if there are none."""
        generated = self._get(medium, frame)
        size = reduce_size(generated.size)
        header = {"kind": "proposals", "medium": medium, "frame": frame, "size": [*size]}
        rows = ((
            {"score": mask.score}, encode_runs(resize_mask(rle.decode(mask.rle), size))) for mask in generated
        )  # fmt: skip
        return pack_masks(header, rows)

    def take(self, medium: int, frame: int, indices: list[int]) -> list[GeneratedMask]:
        """Return masks by their positions in the message. Raises `PromptError` if there are none."""
        generated = self._get(medium, frame)
        unknown = [index for index in indices if index >= len(generated)]
        if unknown:
            message = f"there is no proposal {unknown[0]}, only 0 to {len(generated) - 1}"
            raise PromptError("unknown-object", message)
        return [generated[index] for index in dict.fromkeys(indices)]

    def _get(self, medium: int, frame: int) -> GeneratedMasks:
        generated = self._generated.get((medium, frame))
        if generated is None:
            message = f"frame {frame} has no proposals any more; request them again"
            raise PromptError("unknown-object", message)
        return generated

    def _find_free_pixels(self, medium: int, frame: int) -> NDArray[np.bool_] | None:
        """Return the pixels without a mask, or None if there are no masks."""
        cells = self._project.document.cells_at(medium, frame).values()
        numbers = [cell.mask for cell in cells if cell.mask is not None and cell.visible]
        if not numbers:
            return None
        store = self._project.masks(medium)
        covered = np.zeros(store.size, bool)
        for number in numbers:
            covered |= store.read(number)
        return ~covered

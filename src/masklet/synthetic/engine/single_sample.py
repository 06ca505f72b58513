"""Single pictures and clips out of the composer of whole batches, which runs where PyTorch runs."""

from __future__ import annotations

from threading import Lock

import torch

from masklet.synthetic.engine.asset_bank import Bank
from masklet.synthetic.engine.batch_compose import BatchComposer, ComposedBatch
from masklet.synthetic.engine.samples import Clip, Sample, TargetKind
from masklet.synthetic.engine.tensor_bank import tensor_bank

TARGETS = 12  # at most, of a picture
_KINDS: tuple[TargetKind, ...] = ("instance", "union", "part", "region")


class OneByOne:
    """Pictures and clips by number, `size` pixels square, composed on a device; threads may share it."""

    def __init__(self, device: str, bank: Bank, size: int, seed: int) -> None:
        self._composer = BatchComposer(tensor_bank(bank).to(torch.device(device)), size, 1, seed, TARGETS)
        self._alone = Lock()

    def picture(self, number: int) -> Sample:
        """Picture `number`, the same for ever on the same device."""
        with self._alone:
            made = self._composer.sample(number)
        there, kinds = _told(made)
        return Sample(made.frames[0].cpu().numpy(), made.truth[0, there].cpu().numpy(), kinds)

    def clip(self, number: int, frames: int) -> Clip:
        """Clip `number` of so many frames, likewise."""
        with self._alone:
            made = self._composer.clips(number, frames)
        there, kinds = _told(made)
        return Clip(made.frames[0].cpu().numpy(), made.truth[0, there].swapaxes(0, 1).cpu().numpy(), kinds)


def _told(made: ComposedBatch) -> tuple[list[int], tuple[TargetKind, ...]]:
    """Which of the targets there are, each once, and their kinds: where there are few, a batch repeats some."""
    kinds, masks = made.kinds[0].tolist(), made.truth[0].flatten(1)
    new = [not (masks[:place] == masks[place]).all(dim=1).any() for place in range(len(masks))]
    there = [place for place, kind in enumerate(kinds) if kind >= 0 and new[place]]
    return there, tuple(_KINDS[kinds[place]] for place in there)

"""Single-sample composer: one image or clip at a time from the batch composer, on a PyTorch device."""

from __future__ import annotations

from threading import Lock

import torch

from masklet.synthetic.engine.asset_bank import AssetBank
from masklet.synthetic.engine.batch_compose import BatchComposer, ComposedBatch
from masklet.synthetic.engine.samples import Clip, Sample, TargetKind
from masklet.synthetic.engine.tensor_bank import build_tensor_bank

MAX_TARGETS = 12  # per image or clip
_KINDS: tuple[TargetKind, ...] = ("instance", "union", "part", "region")


class SingleSampleComposer:
    """Composes images and clips of `size` × `size` pixels on a device. It is thread-safe."""

    def __init__(self, device: str, bank: AssetBank, size: int, seed: int) -> None:
        self._composer = BatchComposer(build_tensor_bank(bank).to(torch.device(device)), size, 1, seed, MAX_TARGETS)
        self._lock = Lock()

    def sample_image(self, number: int) -> Sample:
        """Compose image `number`. The same number gives the same image on the same device."""
        with self._lock:
            batch = self._composer.sample(number)
        targets, kinds = _find_distinct_targets(batch)
        return Sample(batch.frames[0].cpu().numpy(), batch.ground_truth[0, targets].cpu().numpy(), kinds)

    def sample_clip(self, number: int, frames: int) -> Clip:
        """Compose clip `number` with `frames` frames. The same number gives the same clip on the same device."""
        with self._lock:
            batch = self._composer.sample_clips(number, frames)
        targets, kinds = _find_distinct_targets(batch)
        return Clip(batch.frames[0].cpu().numpy(), batch.ground_truth[0, targets].swapaxes(0, 1).cpu().numpy(), kinds)


def _find_distinct_targets(batch: ComposedBatch) -> tuple[list[int], tuple[TargetKind, ...]]:
    """Return the indices and kinds of the targets without duplicates; a batch repeats targets if there are few."""
    kinds, masks = batch.kinds[0].tolist(), batch.ground_truth[0].flatten(1)
    is_new = [not (masks[:place] == masks[place]).all(dim=1).any() for place in range(len(masks))]
    targets = [place for place, kind in enumerate(kinds) if kind >= 0 and is_new[place]]
    return targets, tuple(_KINDS[kinds[place]] for place in targets)

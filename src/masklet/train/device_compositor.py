"""Composition of synthetic rows of a batch on the training device, instead of in worker processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch

from masklet.errors import SettingsError
from masklet.synthetic.engine.batch_compose import BatchComposer, ComposedBatch
from masklet.synthetic.engine.tensor_bank import TensorBank, build_tensor_bank
from masklet.train.batches import Batch, BatchRequest
from masklet.train.settings import Settings
from masklet.train.sources import (
    EASY_COMPOSITION,
    Mixture,
    SyntheticSource,
    composition_settings,
    large_object_fraction,
)


@dataclass(slots=True)
class DeviceCompositor:
    """Splits batches into rows that are composed on the device and rows that are read, by the mixture's weights."""

    mixture: Mixture
    settings: Settings
    device: torch.device
    banks: dict[int, TensorBank] = field(default_factory=dict)  # by source, filled on first use

    def __post_init__(self) -> None:
        if not any(isinstance(source, SyntheticSource) for source in self.mixture.sources):
            raise SettingsError("bad-settings", "compose_on_device needs a pack among the data; name one with --data")

    def select_read_rows(self, request: BatchRequest) -> BatchRequest:
        """Return the request with only the rows that are read; there may be none."""
        sources = zip(request.rows, self._draw_sources(request), strict=True)
        return request._replace(rows=[row for row, source in sources if not self._is_composed(source)])

    def complete_batch(self, read: Batch, request: BatchRequest) -> Batch:
        """Compose the other rows of a request on the device and put them before the rows that were read."""
        counts = Counter(source for source in self._draw_sources(request) if self._is_composed(source))
        parts = [self._compose(source, count, request) for source, count in sorted(counts.items())]
        composed = [Batch(part.frames, part.ground_truth) for part in parts]
        moved = [read.to(self.device)] if len(read.frames) else []
        return Batch(*(torch.cat(tensors) for tensors in zip(*composed, *moved, strict=True)))

    def _compose(self, source: int, count: int, request: BatchRequest) -> ComposedBatch:
        rng = np.random.default_rng((self.settings.seed, 7, request.step, source))
        share = request.easy_fraction if request.frames else large_object_fraction(request.easy_fraction)
        scenes = EASY_COMPOSITION if rng.random() < share else composition_settings(request.size)
        targets = self.settings.objects_per_clip if request.frames else self.settings.objects_per_image
        composer = BatchComposer(self._load_bank(source), request.size, count, self.settings.seed, targets, scenes)
        number = request.step * 65_536 + request.rows[0]  # processes differ in their first row
        return composer.sample_clips(number, request.frames) if request.frames else composer.sample(number)

    def _load_bank(self, source: int) -> TensorBank:
        if source not in self.banks:
            synthetic = self.mixture.sources[source]
            assert isinstance(synthetic, SyntheticSource)
            self.banks[source] = build_tensor_bank(synthetic.bank).to(self.device)
        return self.banks[source]

    def _draw_sources(self, request: BatchRequest) -> list[int]:
        """Draw the source of each row."""
        seed = self.settings.seed
        return [self.mixture.draw_source(np.random.default_rng((seed, 6, request.step, row))) for row in request.rows]

    def _is_composed(self, source: int) -> bool:
        return isinstance(self.mixture.sources[source], SyntheticSource)

"""Rows of a batch that the engine composes on the training device, where that is quicker than other processes are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch

from masklet.errors import SettingsError
from masklet.synthetic.engine.batch_compose import BatchComposer, ComposedBatch
from masklet.synthetic.engine.tensor_bank import TensorBank, tensor_bank
from masklet.train.batches import Batch, Request
from masklet.train.settings import Settings
from masklet.train.sources import EASY, Engine, Mixture, few, full


@dataclass(slots=True)
class Compositor:
    """Divides batches between the engine's packs and labelled data by the mixture's weights."""

    mixture: Mixture
    settings: Settings
    device: torch.device
    banks: dict[int, TensorBank] = field(default_factory=dict)  # of the packs that were needed so far

    def __post_init__(self) -> None:
        if not any(isinstance(source, Engine) for source in self.mixture.sources):
            raise SettingsError("bad-settings", "compose_on_device needs a pack among the data; name one with --data")

    def labelled(self, request: Request) -> Request:
        """The part of a request that is read rather than composed, which may be nothing."""
        rows = [row for row, source in zip(request.rows, self._drawn(request), strict=True) if not self._makes(source)]
        return request._replace(rows=rows)

    def completed(self, labelled: Batch, request: Request) -> Batch:
        """The batch of a request from its labelled rows, on the device: composed ones first."""
        counts = Counter(source for source in self._drawn(request) if self._makes(source))
        parts = [self._composed(source, count, request) for source, count in sorted(counts.items())]
        read = [labelled.to(self.device)] if len(labelled.frames) else []
        made = [Batch(part.frames, part.truth) for part in parts]
        return Batch(*(torch.cat(tensors) for tensors in zip(*made, *read, strict=True)))

    def _composed(self, source: int, count: int, request: Request) -> ComposedBatch:
        rng = np.random.default_rng((self.settings.seed, 7, request.step, source))
        share = request.easy if request.frames else few(request.easy)
        scenes = EASY if rng.random() < share else full(request.size)
        targets = self.settings.clip_objects if request.frames else self.settings.objects
        composer = BatchComposer(self._bank(source), request.size, count, self.settings.seed, targets, scenes)
        number = request.step * 65_536 + request.rows[0]  # processes differ in their first row
        return composer.clips(number, request.frames) if request.frames else composer.sample(number)

    def _bank(self, source: int) -> TensorBank:
        if source not in self.banks:
            engine = self.mixture.sources[source]
            assert isinstance(engine, Engine)
            self.banks[source] = tensor_bank(engine.bank).to(self.device)
        return self.banks[source]

    def _drawn(self, request: Request) -> list[int]:
        """The source of each row."""
        seed = self.settings.seed
        return [self.mixture.draw(np.random.default_rng((seed, 6, request.step, row))) for row in request.rows]

    def _makes(self, source: int) -> bool:
        return isinstance(self.mixture.sources[source], Engine)

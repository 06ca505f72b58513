"""Which masks of a batch of composed scenes are asked for: K of each picture, whole objects first."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from masklet.synthetic.engine.targets import LEAST_SHARE, LEAST_VISIBLE

INSTANCE, UNION, PART, REGION, NONE = 0, 1, 2, 3, -1
SHARES = {UNION: 0.1, PART: 0.15, REGION: 0.05}
"""How many of the targets become something other than an instance, where the scene has it."""
LABELS = 256
"""Parts and regions are numbered below this within their object or canvas."""


class SceneMaps(NamedTuple):
    """Who is where in every picture of a batch.

    `objects` (B, S, S) numbered from 1, `parts` (B, S, S) object * 256 + part or 0, `regions` (B, S, S) of the canvas,
    `whole` (B, N + 1) the uncut area of each object in pixels.
    """

    objects: Tensor
    parts: Tensor
    regions: Tensor
    whole: Tensor


def chosen_targets(scene: SceneMaps, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Masks (B, count, S, S) bool and their kinds (B, count).

    No object is taken twice before all have been; a picture without any visible object has empty masks of kind -1.
    """
    least = _least(scene.objects)
    alive, order = _chosen(scene, count, least, generator)
    masks, kinds = [], []
    for place in range(count):
        chosen = order[:, place]
        seen = alive.gather(1, chosen[:, None])[:, 0]
        mask = scene.objects == chosen[:, None, None]
        mask, kind = _varied(scene, mask, chosen, least, generator)
        masks.append(mask & seen[:, None, None])
        kinds.append(torch.where(seen, kind, NONE))
    return torch.stack(masks, 1), torch.stack(kinds, 1)


def followed_targets(scene: SceneMaps, frames: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Masks (C, count, T, S, S) bool of objects on all `frames` T of C clips, whose pictures lie after one another in
    the scene, and their kinds (C, count): instances that are visible on the first frame."""
    first = SceneMaps(*(part[::frames] for part in scene))
    alive, order = _chosen(first, count, _least(first.objects), generator)
    seen = alive.gather(1, order)
    objects = scene.objects.unflatten(0, (-1, frames))[:, None]
    masks = (objects == order[:, :, None, None, None]) & seen[:, :, None, None, None]
    return masks, torch.where(seen, INSTANCE, NONE)


def _least(objects: Tensor) -> float:
    """Pixels below which nothing is asked for."""
    return max(16.0, LEAST_SHARE * objects[0].numel())


def _chosen(scene: SceneMaps, count: int, least: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which objects (B, N + 1) show enough of themselves, and `count` of those of each picture (B, count)."""
    areas = _counts(scene.objects, scene.whole.shape[1])
    alive = (areas >= least) & (areas >= LEAST_VISIBLE * scene.whole)
    alive[:, 0] = False
    return alive, _drawn(alive, areas, count, generator)


def _varied(
    scene: SceneMaps, mask: Tensor, chosen: Tensor, least: float, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The instance, or with a chance a union with a neighbour, one of its parts, or a region instead of it."""
    part = _one_of(torch.where(mask, scene.parts % LABELS, 0), least, draw)
    ground = torch.where(scene.objects == 0, scene.regions, 0)
    others = (
        (UNION, mask | _neighbour(scene.objects, mask)),
        (PART, part),
        (REGION, _one_of(ground, max(least, 0.01 * mask[0].numel()), draw)),
    )
    choice = torch.rand(len(mask), generator=draw, device=mask.device)
    result, kind, bound = mask, torch.full_like(chosen, INSTANCE), 0.0
    for name, other in others:
        wanted = (choice >= bound) & (choice < bound + SHARES[name])
        bound += SHARES[name]
        possible = wanted & (other.sum((1, 2)) >= least) & (other != mask).any(2).any(1)
        result = torch.where(possible[:, None, None], other, result)
        kind = torch.where(possible, name, kind)
    return result, kind


def _counts(labels: Tensor, classes: int) -> Tensor:
    """Pixels of each label (B, classes)."""
    flat = labels.flatten(1)
    return torch.zeros(len(flat), classes, device=flat.device).scatter_add_(
        1, flat, torch.ones_like(flat, dtype=torch.float)
    )


def _drawn(alive: Tensor, areas: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` objects of each picture (B, count): larger ones rather first, none twice before all."""
    noise = -torch.log(
        -torch.log(torch.rand(alive.shape, generator=generator, device=alive.device).clamp(1e-9, 1 - 1e-7))
    )
    score = torch.where(alive, 0.5 * torch.log(areas.clamp(min=1)) + noise, -torch.inf)
    ranked = score.sort(1, descending=True).indices
    turn = torch.arange(count, device=alive.device)[None] % alive.sum(1, keepdim=True).clamp(min=1)
    return ranked.gather(1, turn)


def _one_of(labels: Tensor, least: float, generator: torch.Generator) -> Tensor:
    """The mask (B, S, S) of one random label above 0 with enough pixels; empty where there is none."""
    areas = _counts(labels, LABELS)
    areas[:, 0] = 0
    score = torch.rand(areas.shape, generator=generator, device=areas.device) * (areas >= least)
    best = score.max(1)
    return (labels == best.indices[:, None, None]) & (best.values > 0)[:, None, None]


def _neighbour(objects: Tensor, mask: Tensor) -> Tensor:
    """The mask of the object that touches this one along the longest border; empty where none does."""
    near = F.max_pool2d(mask[:, None].float(), 3, 1, 1)[:, 0] > 0
    border = torch.where(near & ~mask, objects, 0)
    shared = _counts(border, int(objects.max()) + 1)
    shared[:, 0] = 0
    best = shared.max(1)
    return (objects == best.indices[:, None, None]) & (best.values > 0)[:, None, None]

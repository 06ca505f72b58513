"""Targets of a batch of composed images or clips: K masks of each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from masklet.synthetic.engine.targets import MIN_TARGET_SHARE, MIN_VISIBLE_SHARE

INSTANCE, UNION, PART, REGION, NONE = 0, 1, 2, 3, -1
KIND_SHARES = {UNION: 0.1, PART: 0.15, REGION: 0.05}
"""Shares of the targets that become a union, a part or a region instead of an instance, if the scene has one."""
LABELS_PER_OBJECT = 256
"""Parts of an object, and regions of a background, have smaller numbers."""


class SceneMaps(NamedTuple):
    """Label maps of a batch of images.

    Attributes:
        objects: Number of the visible object (B, S, S), from 1, or 0.
        parts: Number of the visible part (B, S, S), object × 256 + part, or 0.
        regions: Region of the background (B, S, S), or 0.
        full_areas: Area of each object without occlusion in pixels (B, N + 1).
    """

    objects: Tensor
    parts: Tensor
    regions: Tensor
    full_areas: Tensor


def choose_image_targets(scene: SceneMaps, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Choose targets of images.

    An object is chosen again only after all objects have been. An image without visible object has empty masks.

    Args:
        scene: Label maps of B images.
        count: Number of targets of each image.
        generator: Random generator.

    Returns:
        The masks (B, count, S, S) bool and their kinds (B, count), -1 for an empty mask.
    """
    min_pixels = _compute_min_pixels(scene.objects)
    visible, order = _choose_objects(scene, count, min_pixels, generator)
    masks, kinds = [], []
    for place in range(count):
        chosen = order[:, place]
        is_target = visible.gather(1, chosen[:, None])[:, 0]
        mask = scene.objects == chosen[:, None, None]
        mask, kind = _vary_targets(scene, mask, chosen, min_pixels, generator)
        masks.append(mask & is_target[:, None, None])
        kinds.append(torch.where(is_target, kind, NONE))
    return torch.stack(masks, 1), torch.stack(kinds, 1)


def choose_clip_targets(scene: SceneMaps, frames: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Choose targets of clips among the objects that are visible on the first frame.

    Args:
        scene: Label maps of C clips of T frames; the frames of a clip are consecutive.
        frames: The number of frames T.
        count: Number of targets of each clip.
        generator: Random generator.

    Returns:
        The masks (C, count, T, S, S) bool and their kinds (C, count): instance, or -1 for an empty mask.
    """
    first = SceneMaps(*(part[::frames] for part in scene))
    visible, order = _choose_objects(first, count, _compute_min_pixels(first.objects), generator)
    is_target = visible.gather(1, order)
    objects = scene.objects.unflatten(0, (-1, frames))[:, None]
    masks = (objects == order[:, :, None, None, None]) & is_target[:, :, None, None, None]
    return masks, torch.where(is_target, INSTANCE, NONE)


def _compute_min_pixels(objects: Tensor) -> float:
    """Return the smallest number of pixels of a target."""
    return max(16.0, MIN_TARGET_SHARE * objects[0].numel())


def _choose_objects(
    scene: SceneMaps, count: int, min_pixels: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return which objects are visible enough (B, N + 1) bool, and `count` of them for each image (B, count)."""
    areas = _count_pixels(scene.objects, scene.full_areas.shape[1])
    visible = (areas >= min_pixels) & (areas >= MIN_VISIBLE_SHARE * scene.full_areas)
    visible[:, 0] = False
    return visible, _sample_objects(visible, areas, count, generator)


def _vary_targets(
    scene: SceneMaps, mask: Tensor, chosen: Tensor, min_pixels: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Replace some instances at random by a union with a neighbor, one of their parts, or a region."""
    part = _choose_label(torch.where(mask, scene.parts % LABELS_PER_OBJECT, 0), min_pixels, generator)
    background = torch.where(scene.objects == 0, scene.regions, 0)
    others = (
        (UNION, mask | _find_neighbor(scene.objects, mask)),
        (PART, part),
        (REGION, _choose_label(background, max(min_pixels, 0.01 * mask[0].numel()), generator)),
    )
    choice = torch.rand(len(mask), generator=generator, device=mask.device)
    result, kind, bound = mask, torch.full_like(chosen, INSTANCE), 0.0
    for name, other in others:
        selected = (choice >= bound) & (choice < bound + KIND_SHARES[name])
        bound += KIND_SHARES[name]
        possible = selected & (other.sum((1, 2)) >= min_pixels) & (other != mask).any(2).any(1)
        result = torch.where(possible[:, None, None], other, result)
        kind = torch.where(possible, name, kind)
    return result, kind


def _count_pixels(labels: Tensor, classes: int) -> Tensor:
    """Count the pixels of each label (B, classes)."""
    flat = labels.flatten(1)
    return torch.zeros(len(flat), classes, device=flat.device).scatter_add_(
        1, flat, torch.ones_like(flat, dtype=torch.float)
    )


def _sample_objects(visible: Tensor, areas: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Sample `count` objects of each image (B, count), larger ones earlier on average; repeat if there are fewer."""
    noise = -torch.log(
        -torch.log(torch.rand(visible.shape, generator=generator, device=visible.device).clamp(1e-9, 1 - 1e-7))
    )
    score = torch.where(visible, 0.5 * torch.log(areas.clamp(min=1)) + noise, -torch.inf)
    ranked = score.sort(1, descending=True).indices
    turn = torch.arange(count, device=visible.device)[None] % visible.sum(1, keepdim=True).clamp(min=1)
    return ranked.gather(1, turn)


def _choose_label(labels: Tensor, min_pixels: float, generator: torch.Generator) -> Tensor:
    """Return the mask (B, S, S) of a random label above 0 with at least `min_pixels` pixels, empty if there is none."""
    areas = _count_pixels(labels, LABELS_PER_OBJECT)
    areas[:, 0] = 0
    score = torch.rand(areas.shape, generator=generator, device=areas.device) * (areas >= min_pixels)
    best = score.max(1)
    return (labels == best.indices[:, None, None]) & (best.values > 0)[:, None, None]


def _find_neighbor(objects: Tensor, mask: Tensor) -> Tensor:
    """Return the mask (B, S, S) of the object with the longest common border, empty if no object touches."""
    near = F.max_pool2d(mask[:, None].float(), 3, 1, 1)[:, 0] > 0
    border = torch.where(near & ~mask, objects, 0)
    shared = _count_pixels(border, int(objects.max()) + 1)
    shared[:, 0] = 0
    best = shared.max(1)
    return (objects == best.indices[:, None, None]) & (best.values > 0)[:, None, None]

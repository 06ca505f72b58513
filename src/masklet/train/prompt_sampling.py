"""Prompt sampling for training: first prompts from the ground truth, correction clicks from errors of a prediction.

The rules are those of SAM 2's training (reference-model §10.1). Each object draws from its own random generator, so its
prompts depend neither on the other objects of a batch nor on how a batch is split over processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from masklet.backend import MASK_BIAS, MASK_SCALE
from masklet.config import MASK_STRIDE, NOT_A_POINT
from masklet.prompts import BOTTOM_RIGHT, NEGATIVE, POSITIVE, TOP_LEFT
from masklet.train.prompt_shares import PromptShares

BOX_NOISE, BOX_NOISE_LIMIT = 0.1, 20 / 1024  # fractions of the box's side and of the image's (reference-model §10.1)


class DecoderPrompts(NamedTuple):
    """Prompts of N objects in the form that the mask decoder takes.

    Attributes:
        points: (N, P, 2) float, fractions (x, y) of the image.
        labels: (N, P) int64, labels of the points as in `masklet.prompts`, or `NOT_A_POINT`.
        present: (N, P) bool, True for points that are used.
        mask: (N, 1, h, w) mask logits at a quarter of the image's size.
        masked: (N,) bool, True for objects whose `mask` is used.
    """

    points: Tensor
    labels: Tensor
    present: Tensor
    mask: Tensor
    masked: Tensor

    @property
    def ambiguous(self) -> Tensor:
        """(N,) bool: True for a single click and for a mask alone, which may mean several objects."""
        clicks = (self.present & (self.labels >= 0)).sum(dim=1)
        return clicks <= 1

    def with_mask(self, logits: Tensor) -> DecoderPrompts:
        """Add predicted logits (N, 1, h, w) as mask prompts. Objects that have a mask prompt keep theirs."""
        mask = torch.where(self.masked[:, None, None, None], self.mask, logits)
        return self._replace(mask=mask, masked=torch.ones_like(self.masked))

    def with_click(self, points: Tensor, labels: Tensor, logits: Tensor) -> DecoderPrompts:
        """Add one point (N, 2) with its label (N,) per object, and replace the masks by logits (N, 1, h, w)."""
        used = torch.ones_like(self.present[:, :1])
        present = self.present & (self.labels != NOT_A_POINT)
        return DecoderPrompts(
            torch.cat((self.points, points[:, None]), dim=1),
            torch.cat((self.labels, labels[:, None]), dim=1),
            torch.cat((used, present[:, 1:], used), dim=1),
            logits,
            torch.ones_like(self.masked),
        )


def sample_prompts(ground_truth: Tensor, shares: PromptShares, rngs: Sequence[Generator]) -> DecoderPrompts:
    """Sample a click, a box or a mask for each object.

    The first of the three points is the padding token that follows every prompt except a mask; the other two hold a
    click, or the corners of a box.

    Args:
        ground_truth: (N, H, W) bool masks.
        shares: Relative frequencies of the kinds of prompts.
        rngs: One generator per object.
    """
    kinds = torch.tensor([_sample_kind(shares, rng) for rng in rngs], device=ground_truth.device)
    clicks, click_labels = _sample_clicks(ground_truth, torch.zeros_like(ground_truth), shares.centered, rngs)
    corners = sample_boxes(ground_truth, rngs)
    boxed, clicked = kinds == TOP_LEFT, kinds == POSITIVE
    points = torch.where(boxed[:, None, None], corners, clicks[:, None])
    labels = torch.stack((torch.where(boxed, TOP_LEFT, click_labels), torch.full_like(kinds, BOTTOM_RIGHT)), dim=1)
    return DecoderPrompts(
        torch.cat((torch.zeros_like(clicks)[:, None], points), dim=1),
        torch.cat((torch.full_like(kinds, NOT_A_POINT)[:, None], labels), dim=1),
        torch.stack((boxed | clicked, boxed | clicked, boxed), dim=1),
        downsample_masks(ground_truth) * MASK_SCALE + MASK_BIAS,
        ~(boxed | clicked),
    )


def make_empty_prompts(ground_truth: Tensor) -> DecoderPrompts:
    """Return the prompts of N objects (N, H, W) on unprompted frames: two padding tokens (reference-model §5.5)."""
    labels = torch.full((len(ground_truth), 2), NOT_A_POINT, device=ground_truth.device)
    mask = downsample_masks(torch.zeros_like(ground_truth))
    return DecoderPrompts(mask.new_zeros(len(ground_truth), 2, 2), labels, labels < 0, mask, labels[:, 0] >= 0)


def sample_corrections(
    ground_truth: Tensor, predicted: Tensor, shares: PromptShares, rngs: Sequence[Generator]
) -> tuple[Tensor, Tensor]:
    """Sample one correction click per object where `predicted` (N, H, W) bool differs from `ground_truth`.

    A fraction `shares.from_ground_truth` of the clicks is sampled from the whole object instead.

    Returns:
        Points (N, 2) as fractions (x, y) of the image, and labels (N,).
    """
    whole = torch.tensor([rng.random() < shares.from_ground_truth for rng in rngs], device=ground_truth.device)
    return _sample_clicks(ground_truth, predicted & ~whole[:, None, None], shares.centered, rngs)


def _sample_clicks(
    ground_truth: Tensor, predicted: Tensor, centered: float, rngs: Sequence[Generator]
) -> tuple[Tensor, Tensor]:
    """Sample one click per object in its error region: a fraction `centered` at the center, the others anywhere.

    Args:
        ground_truth: (N, H, W) bool masks.
        predicted: (N, H, W) bool masks.
        centered: The fraction of clicks that `find_center_clicks` places.
        rngs: One generator per object.

    Returns:
        Points (N, 2) as fractions (x, y) of the image, and labels (N,).
    """
    points, labels = sample_uniform_clicks(ground_truth, predicted, rngs)
    middle = [k for k, rng in enumerate(rngs) if rng.random() < centered]
    if middle:
        points[middle], labels[middle] = find_center_clicks(ground_truth[middle], predicted[middle])
    return points, labels


def sample_uniform_clicks(ground_truth: Tensor, predicted: Tensor, rngs: Sequence[Generator]) -> tuple[Tensor, Tensor]:
    """Sample one click per object, uniformly from the pixels of its error region (N, H, W).

    Where the prediction is equal to the ground truth, the click is a negative one outside of the object.

    Returns:
        Points (N, 2) as fractions (x, y) of the image, and labels (N,).
    """
    wrong = ground_truth ^ predicted
    wrong = torch.where(wrong.flatten(1).any(dim=1)[:, None, None], wrong, ~ground_truth)
    running = wrong.flatten(1).cumsum(dim=1)
    draws = torch.tensor([rng.random() for rng in rngs], device=ground_truth.device, dtype=torch.float64)
    rank = (draws * running[:, -1]).floor().to(running.dtype)[:, None]
    pixel = torch.searchsorted(running, rank, right=True).clamp(max=running.shape[1] - 1)
    label = ground_truth.flatten(1).gather(1, pixel)[:, 0].long()
    return _to_fractions(pixel[:, 0], ground_truth.shape[-2:]), label


def find_center_clicks(ground_truth: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Find the pixel that is farthest from the border of the error region, per object (N, H, W).

    The larger of the two error regions decides: missing pixels get a positive click, surplus pixels a negative one.

    Returns:
        Points (N, 2) as fractions (x, y) of the image, and labels (N,).
    """
    missing, surplus = (ground_truth & ~predicted).cpu().numpy(), (predicted & ~ground_truth).cpu().numpy()
    pixels, labels = [], []
    for lacking, spilled in zip(missing, surplus, strict=True):
        inside, outside = _measure_depth(lacking), _measure_depth(spilled)
        positive = inside.max() > outside.max()
        pixels.append(int((inside if positive else outside).argmax()))
        labels.append(POSITIVE if positive else NEGATIVE)
    pixel = torch.tensor(pixels, device=ground_truth.device)
    return _to_fractions(pixel, ground_truth.shape[-2:]), torch.tensor(labels, device=ground_truth.device)


def sample_boxes(ground_truth: Tensor, rngs: Sequence[Generator]) -> Tensor:
    """Return the jittered bounding box of each mask (N, H, W) as corners (N, 2, 2), fractions (x, y) of the image.

    An empty mask gets the box of the whole image.
    """
    height, width = ground_truth.shape[-2:]
    x0, x1 = _find_extent(ground_truth.any(dim=1))
    y0, y1 = _find_extent(ground_truth.any(dim=2))
    tight = torch.stack((x0, y0, x1, y1), dim=1).double()
    sides = torch.stack((x1 - x0, y1 - y0), dim=1).double()
    whole = tight.new_tensor([width, height])
    max_shift = torch.minimum(BOX_NOISE * sides, BOX_NOISE_LIMIT * whole).repeat(1, 2)
    noise = torch.from_numpy(np.stack([rng.uniform(-1, 1, 4) for rng in rngs])).to(ground_truth.device)
    jittered = (tight + noise * max_shift).clamp(min=0)
    return (torch.minimum(jittered, (whole - 1).repeat(2)) / whole.repeat(2)).float().unflatten(1, (2, 2))


def downsample_masks(masks: Tensor) -> Tensor:
    """Average masks (N, H, W) bool over cells of 4 × 4 pixels: (N, 1, H / 4, W / 4), in [0, 1]."""
    return torch.nn.functional.avg_pool2d(masks[:, None].float(), MASK_STRIDE)


def _sample_kind(shares: PromptShares, rng: Generator) -> int:
    """Draw the label of a prompt's first point: NOT_A_POINT for a mask, POSITIVE for a click, TOP_LEFT for a box."""
    draw = rng.random() * (shares.mask + shares.click + shares.box)
    return NOT_A_POINT if draw < shares.mask else POSITIVE if draw < shares.mask + shares.click else TOP_LEFT


def _to_fractions(pixel: Tensor, size: Sequence[int]) -> Tensor:
    """Convert flat pixel indices (N,) of an image of `size` (H, W) to fractions (x, y)."""
    height, width = size
    return torch.stack((pixel % width / width, pixel // width / height), dim=1)


def _find_extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the last True index of each row of (N, L); the whole row where nothing is True."""
    length = occupied.shape[1]
    occupied = occupied | ~occupied.any(dim=1, keepdim=True)
    return occupied.int().argmax(dim=1), length - 1 - occupied.int().flip(1).argmax(dim=1)


def _measure_depth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance of each pixel of a mask to its border; outside of the image counts as border."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1])

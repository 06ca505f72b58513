"""What would a user say? Prompts drawn from the truth, then clicks where the answer is wrong (reference-model §10.1).

Every object draws from its own generator, so that what it is asked depends neither on its neighbours in a batch nor
on how a batch is divided among processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from masklet.model.sam2 import MASK_BIAS, MASK_SCALE

NEGATIVE, POSITIVE, CORNER, OPPOSITE, NO_POINT = 0, 1, 2, 3, -1
BOX_NOISE, BOX_NOISE_LIMIT = 0.1, 20 / 1024  # of the box's side, of the image's (reference-model §10.1)


@dataclass(frozen=True, slots=True)
class Shares:
    """How often a first prompt is a mask, a click or a box; how corrections are drawn."""

    mask: float = 0.5
    click: float = 0.25
    box: float = 0.25
    centred: float = 0.0  # clicks at the middle of the largest error, the rest anywhere in the error
    from_truth: float = 0.1  # corrections drawn from the object whatever was answered


class Asked(NamedTuple):
    """Prompts for N objects as the decoder takes them. Points are fractions (x, y) of the picture."""

    points: Tensor  # (N, P, 2)
    labels: Tensor  # (N, P)
    present: Tensor  # (N, P) bool: which of the points count
    mask: Tensor  # (N, 1, h, w) logits
    masked: Tensor  # (N,) bool: whose mask counts

    @property
    def ambiguous(self) -> Tensor:
        """(N,) bool: a lone click or a lone mask may mean several things."""
        clicks = (self.present & (self.labels >= 0)).sum(dim=1)
        return clicks <= 1

    def again(self, logits: Tensor) -> Asked:
        """The same points with the answer so far (N, 1, h, w) to start from; a mask that was given stays."""
        mask = torch.where(self.masked[:, None, None, None], self.mask, logits)
        return self._replace(mask=mask, masked=torch.ones_like(self.masked))

    def refined(self, points: Tensor, labels: Tensor, logits: Tensor) -> Asked:
        """One more point each, (N, 2) with labels (N,), and the answer so far (N, 1, h, w) to start from."""
        there = torch.ones_like(self.present[:, :1])
        said = self.present & (self.labels != NO_POINT)
        return Asked(
            torch.cat((self.points, points[:, None]), dim=1),
            torch.cat((self.labels, labels[:, None]), dim=1),
            torch.cat((there, said[:, 1:], there), dim=1),
            logits,
            torch.ones_like(self.masked),
        )


def first_prompts(truth: Tensor, shares: Shares, rngs: Sequence[Generator]) -> Asked:
    """A click, a box or a mask for each object of `truth` (N, H, W) bool.

    The first place holds the token that is not a point, which follows every prompt but a mask; then come two places
    for a click or the corners of a box.
    """
    kinds = torch.tensor([_kind(shares, rng) for rng in rngs], device=truth.device)
    clicks, click_labels = drawn_clicks(truth, torch.zeros_like(truth), shares.centred, rngs)
    corners = boxes(truth, rngs)
    boxed, clicked = kinds == CORNER, kinds == POSITIVE
    points = torch.where(boxed[:, None, None], corners, clicks[:, None])
    labels = torch.stack((torch.where(boxed, CORNER, click_labels), torch.full_like(kinds, OPPOSITE)), dim=1)
    return Asked(
        torch.cat((torch.zeros_like(clicks)[:, None], points), dim=1),
        torch.cat((torch.full_like(kinds, NO_POINT)[:, None], labels), dim=1),
        torch.stack((boxed | clicked, boxed | clicked, boxed), dim=1),
        shrunk(truth) * MASK_SCALE + MASK_BIAS,
        ~(boxed | clicked),
    )


def unprompted(truth: Tensor) -> Asked:
    """What objects are asked that are only followed: two tokens that are not points (reference-model §5.5)."""
    labels = torch.full((len(truth), 2), NO_POINT, device=truth.device)
    mask = shrunk(torch.zeros_like(truth))
    return Asked(mask.new_zeros(len(truth), 2, 2), labels, labels < 0, mask, labels[:, 0] >= 0)


def corrections(truth: Tensor, found: Tensor, shares: Shares, rngs: Sequence[Generator]) -> tuple[Tensor, Tensor]:
    """One click per object where `found` (N, H, W) bool is not the `truth`: points (N, 2), labels (N,)."""
    whole = torch.tensor([rng.random() < shares.from_truth for rng in rngs], device=truth.device)
    return drawn_clicks(truth, found & ~whole[:, None, None], shares.centred, rngs)


def drawn_clicks(truth: Tensor, found: Tensor, centred: float, rngs: Sequence[Generator]) -> tuple[Tensor, Tensor]:
    """One click per object in its error region: in the middle of it for a share `centred` of them, else anywhere."""
    points, labels = uniform_clicks(truth, found, rngs)
    middle = [k for k, rng in enumerate(rngs) if rng.random() < centred]
    if middle:
        points[middle], labels[middle] = centre_clicks(truth[middle], found[middle])
    return points, labels


def uniform_clicks(truth: Tensor, found: Tensor, rngs: Sequence[Generator]) -> tuple[Tensor, Tensor]:
    """A click anywhere in the error region of each object: points (N, 2), labels (N,).

    Where nothing is wrong, a negative click off the object.
    """
    wrong = truth ^ found
    wrong = torch.where(wrong.flatten(1).any(dim=1)[:, None, None], wrong, ~truth)
    running = wrong.flatten(1).cumsum(dim=1)
    draws = torch.tensor([rng.random() for rng in rngs], device=truth.device, dtype=torch.float64)
    rank = (draws * running[:, -1]).floor().to(running.dtype)[:, None]
    place = torch.searchsorted(running, rank, right=True).clamp(max=running.shape[1] - 1)
    label = truth.flatten(1).gather(1, place)[:, 0].long()
    return _fractions(place[:, 0], truth.shape[-2:]), label


def centre_clicks(truth: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """A click on the pixel of the error that is farthest from its border, in the larger of both kinds of error."""
    missing, surplus = (truth & ~found).cpu().numpy(), (found & ~truth).cpu().numpy()
    places, labels = [], []
    for lacks, spills in zip(missing, surplus, strict=True):
        inside, outside = _depth(lacks), _depth(spills)
        positive = inside.max() > outside.max()
        places.append(int((inside if positive else outside).argmax()))
        labels.append(POSITIVE if positive else NEGATIVE)
    place = torch.tensor(places, device=truth.device)
    return _fractions(place, truth.shape[-2:]), torch.tensor(labels, device=truth.device)


def boxes(truth: Tensor, rngs: Sequence[Generator]) -> Tensor:
    """Corners (N, 2, 2) of each object's box, jittered as a hand would; the whole picture where there is no object."""
    height, width = truth.shape[-2:]
    x0, x1 = _extent(truth.any(dim=1))
    y0, y1 = _extent(truth.any(dim=2))
    tight = torch.stack((x0, y0, x1, y1), dim=1).double()
    sides = torch.stack((x1 - x0, y1 - y0), dim=1).double()
    whole = tight.new_tensor([width, height])
    reach = torch.minimum(BOX_NOISE * sides, BOX_NOISE_LIMIT * whole).repeat(1, 2)
    noise = torch.from_numpy(np.stack([rng.uniform(-1, 1, 4) for rng in rngs])).to(truth.device)
    jittered = (tight + noise * reach).clamp(min=0)
    return (torch.minimum(jittered, (whole - 1).repeat(2)) / whole.repeat(2)).float().unflatten(1, (2, 2))


def shrunk(truth: Tensor, factor: int = 4) -> Tensor:
    """(N, H, W) bool → (N, 1, H / factor, W / factor): the share of each cell that the object covers."""
    return torch.nn.functional.avg_pool2d(truth[:, None].float(), factor)


def _kind(shares: Shares, rng: Generator) -> int:
    draw = rng.random() * (shares.mask + shares.click + shares.box)
    return NO_POINT if draw < shares.mask else POSITIVE if draw < shares.mask + shares.click else CORNER


def _fractions(place: Tensor, size: Sequence[int]) -> Tensor:
    """Flat pixel numbers (N,) of a map of (H, W) → fractions (x, y)."""
    height, width = size
    return torch.stack((place % width / width, place // width / height), dim=1)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and last index that is occupied in each row of (N, L); all of it where none is."""
    length = occupied.shape[1]
    occupied = occupied | ~occupied.any(dim=1, keepdim=True)
    return occupied.int().argmax(dim=1), length - 1 - occupied.int().flip(1).argmax(dim=1)


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    padded = np.pad(mask.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1])

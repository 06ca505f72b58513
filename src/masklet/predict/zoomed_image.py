"""Pictures that are looked at closely: each object is asked for in a window of its own, at the picture's resolution.

The network sees a picture in so many pixels a side, whatever the picture has, and answers in a quarter of them. A small
object is a few of these; of a window around it, it is a good part.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend
from masklet.masks.masks import Masks
from masklet.masks.nms import extents
from masklet.predict.crop import LOOKS, Window, around, clicked, placed, said, spanned
from masklet.predict.embedded_image import WholeImage, earlier_of
from masklet.prompts import Prompt, Prompts, by_object, refuse_sam2_arguments

MAX_CROPS = 8
"""Encoded crops that an image keeps, beside the whole image. Float32 features of a crop take 0.5 MB with nano at 256
pixels and 17 MB with a released model at 1024, so that an image keeps 4 MB and 134 MB of them at most."""


@dataclass(frozen=True, eq=False)
class CloseImage:
    """A picture (H, W, 3) uint8 RGB that is asked like any `EmbeddedImage`, and looks closer before it answers.

    An object's window is `reach` times as long as its box: the one in the prompt, else that of the mask given or to be
    refined, else that of the pieces that were clicked of what is found in the whole picture, and then once more of
    what is seen there. An object that fills most of the picture is answered there.

    The whole image is encoded once, by `encode` or at the first prompt that needs it. Encoded crops are kept in a
    cache that drops the least recently used one, at most `MAX_CROPS`: prompts in the same crop encode it once.
    """

    backend: Backend
    image: NDArray[np.uint8]
    reach: float
    _crops: OrderedDict[Window, WholeImage] = field(default_factory=OrderedDict, init=False)

    def __repr__(self) -> str:
        return f"CloseImage(size={self.size}, zoom={self.reach:g})"

    @staticmethod
    def encode(backend: Backend, pictures: Sequence[NDArray[np.uint8]], reach: float) -> list[CloseImage]:
        """Pictures (H, W, 3) uint8 RGB of any sizes, encoded whole in one call."""
        made = [CloseImage(backend, picture, reach) for picture in pictures]
        for one, whole in zip(made, WholeImage.encode(backend, pictures), strict=True):
            vars(one)["whole"] = whole  # the cached property's value
        return made

    @property
    def size(self) -> tuple[int, int]:
        """The picture's (H, W)."""
        return self.image.shape[0], self.image.shape[1]

    @cached_property
    def whole(self) -> WholeImage:
        """All of the picture, encoded when it is first needed."""
        return WholeImage.encode(self.backend, [self.image])[0]

    @refuse_sam2_arguments("predict({})")
    def predict(self, prompts: Prompts, *, multimask: bool | None = None, refine: Masks | None = None) -> Masks:
        """`EmbeddedImage.predict`, each object in its window; the logits have the picture's size."""
        asked = by_object(prompts)
        for prompt in asked.values():
            prompt.within(self.size)  # before anything is computed
        earlier = earlier_of(asked, refine)
        return Masks.join([self._object(key, asked[key], earlier.get(key), multimask) for key in asked])

    def _object(self, key: int, prompt: Prompt, before: Masks | None, multimask: bool | None) -> Masks:
        if before is not None:
            before = replace(before, size=self.size)  # it may have been found in the picture at another size
        box = said(prompt, self.size)
        if box is None and before is not None:
            box = _box(before)
        told = box is not None
        answer = None if told else self.whole.predict({key: prompt}, multimask=multimask, refine=before)
        for _ in range(1 if told else LOOKS):
            if answer is not None:
                meant = _meant(answer, prompt)
                before, box = meant.best, _box(meant)
            closer = None if box is None else self._closer(key, prompt, before, box, multimask)
            if closer is None:
                break
            answer = closer
        return answer or self.whole.predict({key: prompt}, multimask=multimask, refine=before)

    def _closer(
        self, key: int, prompt: Prompt, before: Masks | None, box: NDArray[np.float64], multimask: bool | None
    ) -> Masks | None:
        """The answer in the window around a box, asked for again with what was answered, which costs little; None where
        the window would show no more than the picture, or no prompt."""
        window = around(spanned(box, prompt), self.size, self.reach)
        inside = None if window is None else window.told(prompt, self.size)
        if window is None or inside is None:
            return None
        near = None if before is None else Masks.from_logits(window.cut(before.logits[0])[None], window.size)
        close = self._crop(window)
        answer = close.predict({key: inside}, multimask=multimask, refine=near)
        if inside.mask is None and not multimask:
            answer = close.predict({key: inside}, multimask=multimask, refine=answer)
        return placed(replace(answer, size=self.size), [window] * len(answer))

    def _crop(self, window: Window) -> WholeImage:
        """The encoded crop of a window, from the cache or encoded now."""
        crop = self._crops.pop(window, None) or WholeImage.encode(self.backend, [window.cut(self.image)])[0]
        self._crops[window] = crop  # the last one is the most recently used
        if len(self._crops) > MAX_CROPS:
            self._crops.popitem(last=False)
        return crop


def _meant(masks: Masks, prompt: Prompt) -> Masks:
    """What was clicked of one object's masks: things alike are often found together, and are apart in a closer look."""
    on = clicked(prompt)
    return masks.clean(keep=on) if len(on) and masks.binary.any() else masks


def _box(masks: Masks) -> NDArray[np.float64] | None:
    """The box (x0, y0, x1, y1) around one object's masks; None where all are empty."""
    box = extents([np.asarray(masks.binary.any(axis=0))])[0]
    return box.astype(np.float64) if box.any() else None

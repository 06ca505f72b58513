"""View of an image: the rule that says in which part of the image an object is predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias, TypeVar

from masklet.masks.crop import Crop
from masklet.prompts import Prompt
from masklet.views.found_mask import FoundMask

Value = TypeVar("Value")
Region: TypeAlias = Crop | None
"""Part of an image that is encoded; None is the whole image."""


class View(Protocol):
    """Rule that places the region of an image, a `Crop` or None for the whole image, in which an object is predicted.

    A view has no state: on the next frame of a video it places a region by the object's last mask.
    """

    @property
    def has_regions(self) -> bool:
        """Whether objects may be predicted in a part of the image, which is cut out of it later."""

    @property
    def repeats(self) -> bool:
        """Whether a prediction in a part of the image is repeated from its own mask."""

    @property
    def looks(self) -> int:
        """How often an object that was prompted on the whole image is predicted again in a smaller region."""

    def place(self, prompt: Prompt, found: FoundMask | None, size: tuple[int, int]) -> Region:
        """Place the region in which a prompt is decoded, which contains some of the prompt.

        Args:
            prompt: The prompt, in pixels of the image.
            found: The object's mask so far, if there is one.
            size: The image's (H, W).
        """

    def zoom_in(self, prompt: Prompt, found: FoundMask, size: tuple[int, int]) -> Region:
        """Place a smaller region after a prediction; None, as by default, if it needs none."""
        return None

    def follow(self, found: FoundMask, size: tuple[int, int]) -> Region:
        """Place the region in which an object is searched for, from its mask on the nearest frame."""


@dataclass(frozen=True, slots=True)
class WholeView(View):
    """View of the whole image for every object, as in SAM 2."""

    has_regions: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    looks: ClassVar[int] = 0

    def place(self, prompt: Prompt, found: FoundMask | None, size: tuple[int, int]) -> Region:
        """Return None, the whole image."""
        return None

    def follow(self, found: FoundMask, size: tuple[int, int]) -> Region:
        """Return None, the whole image."""
        return None


WHOLE_VIEW: View = WholeView()
"""View of the whole image."""


def group_by_region(
    objects: Mapping[int, Value], place: Callable[[int], Region]
) -> Iterator[tuple[Region, dict[int, Value]]]:
    """Yield each region with its objects, which are predicted in one call."""
    regions = {key: place(key) for key in objects}
    for region in dict.fromkeys(regions.values()):
        yield region, {key: value for key, value in objects.items() if regions[key] == region}

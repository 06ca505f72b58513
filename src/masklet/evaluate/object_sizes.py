"""Object sizes: the groups small, medium and large by COCO's limits of area."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

SIZE_LIMITS_PX = {"small": 32**2, "medium": 96**2}  # areas below these are small and medium (COCO)
SIZE_GROUPS = ("all", *SIZE_LIMITS_PX, "large")
SIZE_NOTE = "small is below 32² pixels, medium below 96²."


class SizedResult(Protocol):
    """Result of one object whose size is known."""

    @property
    def size_group(self) -> str:
        """The size of the object: small, medium or large."""


Result = TypeVar("Result", bound=SizedResult)


def find_size_group(area: int) -> str:
    """Return the size of an object with an area in pixels: small, medium or large."""
    return next((name for name, limit in SIZE_LIMITS_PX.items() if area < limit), "large")


def select_group(results: Sequence[Result], group: str) -> list[Result]:
    """Select the results of the objects of one of `SIZE_GROUPS`."""
    return [result for result in results if group in ("all", result.size_group)]

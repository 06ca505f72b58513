"""Object numbers: object ids for shapes that files identify by label and group."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

Key = tuple[str | None, int | None, int]
"""Label, group, and position of an object: without a group its position among those with the same label, else 0."""


class KeyMaker:
    """Makes the keys of the shapes of one image, in the order of the file.

    Shapes with the same label and the same group are one object; a shape without a group is an object of its own.
    """

    def __init__(self) -> None:
        self._ungrouped: dict[str | None, int] = {}

    def make(self, label: str | None, group: int | None) -> Key:
        """Return the key of the next shape."""
        if group is not None:
            return label, group, 0
        position = self._ungrouped.get(label, 0)
        self._ungrouped[label] = position + 1
        return label, None, position


def number_objects(keys: Iterable[Key], known: dict[Key, int]) -> dict[Key, int]:
    """Give every object a number from 1.

    An object has its group as its number, unless that is below 1 or belongs to an object with another label; the rest
    have the smallest numbers that are free, in the order of the file.

    Args:
        keys: The keys of the objects of an image, in the order of the file.
        known: The numbers of objects in other images, to which new ones are added.

    Returns:
        The numbers of the given keys.
    """
    distinct = dict.fromkeys(keys)
    new = [key for key in distinct if key not in known]
    taken = set(known.values())
    for key in new:
        group = key[1]
        if group is not None and group >= 1 and group not in taken:
            known[key] = group
            taken.add(group)
    free = (number for number in count(1) if number not in taken)
    for key in new:
        if key not in known:
            known[key] = next(free)
    return {key: known[key] for key in distinct}

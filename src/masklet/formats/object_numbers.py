"""Object numbers: object ids for shapes that files identify by label and group, and ids counted from 1."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

Key = tuple[str | None, int | str | None, int]
"""Label, group, and position of an object: without a group its position among those with the same label, else 0."""


class KeyMaker:
    """Makes the keys of the shapes of one image, in the order of the file.

    Shapes with the same label and the same group are one object; a shape without a group is an object of its own.
    """

    def __init__(self) -> None:
        self._ungrouped: dict[str | None, int] = {}

    def make(self, label: str | None, group: int | str | None) -> Key:
        """Return the key of the next shape."""
        if group is not None:
            return label, group, 0
        position = self._ungrouped.get(label, 0)
        self._ungrouped[label] = position + 1
        return label, None, position


def number_objects(keys: Iterable[Key], known: dict[Key, int]) -> dict[Key, int]:
    """Give every object a number from 1.

    An object has its group as its number, unless that is text, is below 1 or belongs to an object with another label;
    the rest have the smallest numbers that are free, in the order of the file.

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
        if isinstance(group, int) and group >= 1 and group not in taken:
            known[key] = group
            taken.add(group)
    free = (number for number in count(1) if number not in taken)
    for key in new:
        if key not in known:
            known[key] = next(free)
    return {key: known[key] for key in distinct}


def count_from_one(object_ids: Iterable[int]) -> dict[int, int]:
    """Return the ids of the objects of a file by the ids that the file has.

    If the lowest one is below 1, all are raised by the same number, so that it is 1: many tools count from 0, which is
    the background of label maps.
    """
    distinct = set(object_ids)
    offset = max(0, 1 - min(distinct, default=1))
    return {object_id: object_id + offset for object_id in distinct}

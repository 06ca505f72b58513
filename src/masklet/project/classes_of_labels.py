"""Classes of a project by label: known ones, and new ones for other labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from masklet.masks.overlay import pick_color
from masklet.project.document import Document
from masklet.project.entries import ObjectClass, class_key


def find_classes(document: Document, labels: Iterable[str]) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the numbers of classes by label, and the entries of new classes by key. The caller holds the project.

    Args:
        document: The project.
        labels: Labels. Those that are the name of no class need a new one.
    """
    classes = {value.name: number for number, value in document.classes().items()}
    new = dict.fromkeys(label for label in labels if label not in classes)
    entries: dict[str, Any] = {}
    for number, label in enumerate(new, start=document.new_class()):
        classes[label] = number
        entries[class_key(number)] = ObjectClass(label, make_color(number)).to_json()
    return classes, entries


def make_color(number: int) -> str:
    """Return the color of an object or a class, "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*pick_color(number))

"""Classes that a text names: `cat, dog` stands for two."""

from __future__ import annotations

from collections.abc import Sequence

from masklet.errors import PromptError
from masklet.prompts import check_label

MAX_CLASSES = 100
"""Classes of one detector, at most, since each takes time and memory."""

_EXAMPLE = 'write the classes separated by commas, such as "cat, dog"'


def parse_classes(text: str | Sequence[str]) -> tuple[str, ...]:
    """Return the classes that a text names, each once.

    Args:
        text: Names separated by commas or line breaks, or a list of names.

    Raises:
        PromptError: `bad-prompt`. The text names no class, or over 100, or a name is invalid.
    """
    parts = text.replace("\n", ",").split(",") if isinstance(text, str) else [*text]
    classes = tuple(dict.fromkeys(check_label(part) for part in parts if not isinstance(part, str) or part.strip()))
    if not classes:
        raise PromptError("bad-prompt", f"the text {text!r:.60} names no class; {_EXAMPLE}")
    if len(classes) > MAX_CLASSES:
        raise PromptError("bad-prompt", f"at most {MAX_CLASSES} classes, got {len(classes)}")
    return classes

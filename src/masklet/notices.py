"""Tell users what was decided for them by a stated rule, at the line where they called."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from masklet.errors import MaskletWarning

_PACKAGE = str(Path(__file__).parent)


def notice(code: str, message: str) -> None:
    """Warn with a `MaskletWarning` that points at the nearest caller outside this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(MaskletWarning(code, message), stacklevel=level)

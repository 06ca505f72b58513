"""Lines about objects that automatic tracking found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from masklet.cli import console


def print_found_object(summary: Mapping[str, Any]) -> None:
    """Print the frames of an object, and its class and score if a detector found it."""
    label = f" ({summary['label']})" if "label" in summary else ""
    frames = "never visible"
    if summary["visible_frames"]:
        frames = f"frames {summary['first_frame']} to {summary['last_frame']}"
    score = f"  detection {summary['detection_score']:.2f}" if "detection_score" in summary else ""
    console.print_line(f"object {summary['id']}{label}  {frames}{score}")

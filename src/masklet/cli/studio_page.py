"""The page of a studio or camera: its address, and the private file that opens it."""

from __future__ import annotations

import os
import sys

from masklet.cli import console
from masklet.studio.server import Server


def show_page(server: Server, name: str, *, browser: bool = True) -> None:
    """Print the address of a page, and open it in a browser if there is a terminal and a screen.

    Args:
        server: The server.
        name: What serves the page.
        browser: Whether a browser may be opened.
    """
    console.say(f"{name}: {server.address}")
    is_open = browser and _has_screen() and server.open_browser()
    console.say(
        f"{'if no browser opens' if is_open else 'to enter'}, open {server.entry.path} in a browser of this machine"
    )


def _has_screen() -> bool:
    """Return whether there is a screen to show a browser on, and a person at the terminal."""
    screen = sys.platform in ("win32", "darwin") or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.stderr.isatty() and screen

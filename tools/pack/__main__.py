"""Entry point of `python -m tools.pack`."""

from __future__ import annotations

import sys

from tools.pack.cli import main

if __name__ == "__main__":
    sys.exit(main())

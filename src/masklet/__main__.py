"""Entry point of `python -m masklet`: the `masklet` command."""

import sys

from masklet.cli.main import main

sys.exit(main())

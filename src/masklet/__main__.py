"""`python -m masklet` is the `masklet` command."""

import sys

from masklet.cli.main import main

sys.exit(main())

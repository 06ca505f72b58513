"""Private file that sends the browser to the studio with a one-time code.

Other users of the machine see the arguments of a browser, but cannot read the file.
"""

from __future__ import annotations

import html
import os
import tempfile
from pathlib import Path
from types import TracebackType

from masklet.files.error_translation import translate_write_errors
from masklet.files.outputs import remove_folder

_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>masklet</title>
<p><a href="{address}">Open masklet</a></p>
"""


class EntryFile:
    """An HTML file with mode 0600 in a new temporary folder with mode 0700. It is removed when the file is closed.

    Attributes:
        path: The file.

    Raises:
        ResourceError: `output-unwritable` or `disk-full`. The file cannot be written.
    """

    def __init__(self) -> None:
        with translate_write_errors(Path(tempfile.gettempdir())):
            self._folder = Path(tempfile.mkdtemp(prefix="masklet-"))  # mode 0700
        self.path = self._folder / "open.html"

    def write(self, address: str) -> None:
        """Let the file lead to another address."""
        part = self._folder / "part"
        with translate_write_errors(self.path):
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(_PAGE.format(address=html.escape(address)))
            part.replace(self.path)

    def close(self) -> None:
        """Remove the file and its folder."""
        remove_folder(self._folder)

    def __enter__(self) -> EntryFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

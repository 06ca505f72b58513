"""Commands for exports and imports."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from masklet.errors import InputNotFound, MaskletError
from masklet.files.error_translation import translate_write_errors
from masklet.files.names import replace_surrogates
from masklet.project.annotation_import import ImportedAnnotations, import_annotations
from masklet.studio.annotation_files import list_annotation_files
from masklet.studio.connection import Client
from masklet.studio.workspace import Workspace


class TransferCommands:
    """Commands for exports and imports."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def export(self, client: Client, *, media: list[int], formats: list[str], effects: list[str]) -> dict[str, Any]:
        """Write images and videos in formats and with effects. Progress follows."""
        return {"export": self._workspace.exports.start(media, [*formats, *effects])}

    def list_annotations(self, client: Client) -> dict[str, Any]:
        """List the annotation files in the opened folders."""
        return {"files": [*self._list_files()]}

    def import_annotations(self, client: Client, *, medium: int, path: str) -> dict[str, Any]:
        """Read one of the listed annotation files."""
        found = self._list_files().get(path)
        if found is None:
            raise InputNotFound("input-not-found", f"{path} is not an annotation file in the opened folders")
        return _summarize(import_annotations(self._workspace.project, medium, found))

    def _list_files(self) -> dict[str, Path]:
        """Return the files by their paths in valid Unicode, since messages of clients have no lone surrogates."""
        files = list_annotation_files(self._workspace.folders, self._workspace.project.folder)
        return {replace_surrogates(str(path)): path for path in files}


def import_content(workspace: Workspace, medium: int, name: str, content: bytes) -> dict[str, Any]:
    """Read annotations from the content of a file with a name."""
    with tempfile.TemporaryDirectory(prefix="masklet-") as folder:
        path = Path(folder) / f"annotations{Path(name).suffix.lower()}"
        with translate_write_errors(path):
            path.write_bytes(content)
        try:
            return _summarize(import_annotations(workspace.project, medium, path))
        except MaskletError as error:
            message = error.message.replace(str(path), name)
            raise type(error)(error.code, message, hint=error.hint) from error


def _summarize(imported: ImportedAnnotations) -> dict[str, Any]:
    return {"objects": [one for objects in imported.objects.values() for one in objects], "seq": imported.step.seq}

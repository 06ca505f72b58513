"""What kind of file is this? Told by its content, never by its name."""

from __future__ import annotations

import re
from typing import Literal

from masklet.checkpoints.memory_map import MappedFile
from masklet.errors import CheckpointError
from masklet.files.file_type import detect_file_type

Kind = Literal["torch", "safetensors"]

_SNIFFED = 512  # bytes: the mark of a tar file stands at 257
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<(!doctype|html|head|body|error)\b", re.IGNORECASE)
_PICKLE = re.compile(rb"\x80[\x01-\x05]|c[A-Za-z_][\w.]*\n\w+\n|[(\]}]")  # with its header, or how old ones begin

_AGAIN = "download it again"
_RESAVE = 'save it anew with a current PyTorch: torch.save({"model": model.state_dict()}, path)'


def detect_kind(file: MappedFile) -> Kind:
    """How to read the file; what is neither a ZIP archive of PyTorch nor safetensors raises `CheckpointError`."""
    head = file.content[:_SNIFFED]
    if head.startswith(b"PK\x03\x04"):
        return "torch"
    if head[8:9] == b"{":
        return "safetensors"
    raise _refusal(file, head)


def _refusal(file: MappedFile, head: bytes) -> CheckpointError:
    if head.startswith(b"version https://git-lfs"):
        return file.make_error(
            "checkpoint-lfs-pointer",
            "only the git-lfs pointer to a file, not the file",
            hint="git lfs pull brings the file",
        )
    if _HTML.match(_COMMENT.sub(b"", head)):
        return file.make_error(
            "checkpoint-html", "a web page, not a checkpoint; the download was answered by a page", hint=_AGAIN
        )
    if head[257:262] == b"ustar":
        return file.make_error("checkpoint-tar", "a tar archive; such checkpoints are not read", hint=_RESAVE)
    if _PICKLE.match(head) and (head.startswith(b"\x80") or file.content[-1:] == b"."):
        return file.make_error(
            "checkpoint-bare-pickle",
            "a pickle outside of a ZIP archive, as PyTorch wrote before 1.6; it is not read",
            hint=_RESAVE,
        )
    return file.make_error(
        "checkpoint-unknown-format",
        f"neither a PyTorch checkpoint nor safetensors but {detect_file_type(head)}; it begins with {head[:8]!r}",
        hint="name a .pt or .safetensors file",
    )

"""File kind of a checkpoint, detected from its content and never from its name."""

from __future__ import annotations

import re
from typing import Literal

from masklet.checkpoints.memory_map import MappedFile
from masklet.errors import CheckpointError
from masklet.files.file_type import detect_file_type

Kind = Literal["torch", "safetensors"]

_HEAD_BYTES = 512  # the signature of a tar archive is at byte 257
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<(!doctype|html|head|body|error)\b", re.IGNORECASE)
_PICKLE = re.compile(rb"\x80[\x01-\x05]|c[A-Za-z_][\w.]*\n\w+\n|[(\]}]")  # protocols 1 to 5, or typical of protocol 0

_DOWNLOAD_AGAIN = "download it again"
_SAVE_AGAIN = 'save it again with a current PyTorch: torch.save({"model": model.state_dict()}, path)'


def detect_kind(file: MappedFile) -> Kind:
    """Detect whether a file is a PyTorch checkpoint or safetensors.

    Raises:
        CheckpointError: It is neither. The code and the message state the detected type.
    """
    head = file.content[:_HEAD_BYTES]
    if head.startswith(b"PK\x03\x04"):
        return "torch"
    if head[8:9] == b"{":
        return "safetensors"
    raise _make_kind_error(file, head)


def _make_kind_error(file: MappedFile, head: bytes) -> CheckpointError:
    if head.startswith(b"version https://git-lfs"):
        message = "a Git LFS pointer, not the file itself"
        return file.make_error("checkpoint-lfs-pointer", message, hint="download the file with: git lfs pull")
    if _HTML.match(_COMMENT.sub(b"", head)):
        message = "a web page, not a checkpoint; the server returned a page instead of the file"
        return file.make_error("checkpoint-html", message, hint=_DOWNLOAD_AGAIN)
    if head[257:262] == b"ustar":
        message = "a tar archive; checkpoints in tar archives are not supported"
        return file.make_error("checkpoint-tar", message, hint=_SAVE_AGAIN)
    if _PICKLE.match(head) and (head.startswith(b"\x80") or file.content[-1:] == b"."):
        message = "a pickle without a ZIP archive, the format of PyTorch before 1.6, which is not supported"
        return file.make_error("checkpoint-bare-pickle", message, hint=_SAVE_AGAIN)
    message = f"neither a PyTorch checkpoint nor safetensors but {detect_file_type(head)}; it begins with {head[:8]!r}"
    return file.make_error("checkpoint-unknown-format", message, hint="pass a .pt or .safetensors file")

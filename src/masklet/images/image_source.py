"""Image sources: the types of images that `read_image` accepts."""

from __future__ import annotations

import os
from typing import Any, BinaryIO, Protocol, TypeAlias

from numpy.typing import NDArray
from PIL import Image


class Tensor(Protocol):
    """Tensor (H, W) or (C, H, W) of PyTorch or of a library with these methods."""

    def detach(self) -> Any:
        """Return the tensor without gradients."""

    def cpu(self) -> Any:
        """Return the tensor in CPU memory."""

    def numpy(self) -> Any:
        """Return the tensor as a NumPy array."""


ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | NDArray[Any] | Image.Image | Tensor
)
"""A path, the bytes of a file, an open binary file, an array (H, W) or (H, W, C), a PIL image or a tensor."""

"""Image input: files, arrays, PIL images and tensors as arrays (H, W, 3) uint8 RGB."""

from masklet.images.image_file import MAX_PIXELS
from masklet.images.reader import read_image

__all__ = ["MAX_PIXELS", "read_image"]

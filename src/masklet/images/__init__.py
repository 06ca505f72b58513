"""Image and mask input: files, arrays, PIL images and tensors as arrays (H, W, 3) uint8 RGB or (H, W) labels."""

from masklet.images.image_file import MAX_PIXELS
from masklet.images.mask_reader import read_mask
from masklet.images.reader import read_image

__all__ = ["MAX_PIXELS", "read_image", "read_mask"]

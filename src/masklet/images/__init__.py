"""Pictures in: whatever a user calls a picture or a mask, as arrays in the one order that there is."""

from masklet.images.image_file import MAX_PIXELS
from masklet.images.mask_reader import read_mask
from masklet.images.reader import read_image

__all__ = ["MAX_PIXELS", "read_image", "read_mask"]

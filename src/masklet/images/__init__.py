"""Pictures in: whatever a user calls a picture or a mask, as arrays in the one order that there is."""

from masklet.images.labels import read_mask
from masklet.images.opening import MAX_PIXELS
from masklet.images.reading import read_image

__all__ = ["MAX_PIXELS", "read_image", "read_mask"]

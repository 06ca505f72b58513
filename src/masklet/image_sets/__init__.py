"""Sets of images: their prompts from files, and their segmentation, which can be resumed."""

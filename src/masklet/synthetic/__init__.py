"""Synthetic training data: images and clips with exact masks, composed from packs, and proposals of masks.

pack           the pack format: images and meshes with their licenses
rendering      rasterizer of textured meshes
engine         composition of images and clips
proposals      masks that a model proposes for images and a person selects (keep_list, proposal_sheet)
coco_writer    COCO annotation files
image_filters  resampling, blurring and warping with OpenCV
"""

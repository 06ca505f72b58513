"""Plugin for napari: points and rectangles become a labels layer, and are tracked through stacks of images.

napari reads `napari.yaml` of this package, and imports the modules that it names when they are first used.
"""

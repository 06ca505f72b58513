"""Composition of images and clips with exact masks, from the assets of packs and from labeled images."""

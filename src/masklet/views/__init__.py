"""Views of an image: which part of it is encoded for each object."""

"""Textured meshes as sprites."""

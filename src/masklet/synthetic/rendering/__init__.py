"""Renderer of textured meshes: mesh format, rasterizer, shading, and a cache of renderings."""

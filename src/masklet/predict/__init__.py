"""Masks of one image: prompts, zoom crops, and the automatic mask generator."""

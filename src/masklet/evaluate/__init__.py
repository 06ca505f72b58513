"""Evaluation protocols, scores and reports for images and clips, with any model."""

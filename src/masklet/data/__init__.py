"""Data for training and evaluation: readers of data sets, and an engine that composes pictures and clips of its own."""

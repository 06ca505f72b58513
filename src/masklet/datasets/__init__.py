"""Data sets of the field and your own, read lazily into pictures and clips with true masks."""

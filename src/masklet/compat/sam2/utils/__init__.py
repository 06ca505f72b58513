"""Functions that programs import from `sam2.utils`."""

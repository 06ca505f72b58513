"""The model, under the name that the package `sam2` has for it."""

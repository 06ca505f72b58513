"""Replacements of other packages with their programming interfaces, on masklet's networks."""

"""Memory of tracked objects: which memories are recalled, which masks are kept."""

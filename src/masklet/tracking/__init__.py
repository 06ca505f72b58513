"""Objects tracked through video: tracker, memory bank, propagation, sessions."""

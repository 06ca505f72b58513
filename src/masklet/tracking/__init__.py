"""Objects tracked through video: tracker, propagation, sessions."""

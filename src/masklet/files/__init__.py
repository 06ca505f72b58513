"""Files of any kind: open, recognize, lock, hash and write them, and check names that come from outside."""

"""Files of any type: opening, type detection, locks, hashes, atomic writing, and checks of names from other files."""

"""Pictures and clips without end, composed from packs, with exact masks."""

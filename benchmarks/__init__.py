"""What masklet costs on this machine: `scripts/bench image`, `scripts/bench video`."""

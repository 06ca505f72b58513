"""SAM 2's networks in PyTorch. `sam2.py` composes them and is the place to start reading."""

"""The networks in PyTorch, which know nothing of files, videos, users' prompts or sessions. Read `sam2.py` first."""

"""Training: networks, prompts and memory bank of inference, with gradients."""

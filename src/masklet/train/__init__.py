"""Training: the same networks, prompts and memory bank as everywhere else, with gradients."""

"""Text prompts: detectors that find boxes of named classes, and the masks of these boxes."""

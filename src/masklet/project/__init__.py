"""Projects: images and videos with objects, prompts and masks, in a folder that survives a kill at any moment."""

"""Dataset readers: images and clips with ground-truth masks, read lazily."""

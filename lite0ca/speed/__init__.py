"""How fast networks, exported files and the augmentation are, with the conditions."""

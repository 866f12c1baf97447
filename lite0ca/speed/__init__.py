"""How fast networks and exported files are, with the conditions."""

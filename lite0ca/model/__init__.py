"""A timm backbone with attention, and where its weights come from."""

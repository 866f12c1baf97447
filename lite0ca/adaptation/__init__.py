"""A trained model in another place: which photos to label, and how it is fitted to them."""

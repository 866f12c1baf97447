"""A trained model fitted to another place: by a few labelled photos of it, or by photos alone."""

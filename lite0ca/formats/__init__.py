"""Every file that a trained network can lie in: written, checked, opened."""

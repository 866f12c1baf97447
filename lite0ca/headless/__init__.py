"""Notebooks run without a person: for each preset and seed, here or on Ray."""

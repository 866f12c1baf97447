"""A trained network -> files for phones, boards and CPUs, each held against it."""

"""EfficientNet-Lite0 with Coordinate Attention for leaf diseases: data, training, scores."""

import os

__version__ = "0.1.0"

# Read by OpenMP when torch is imported, so it is set before. A thread that waits for the others
# spins otherwise, and takes the core from loader processes or whatever else runs beside: there a
# training step is 2 to 4 times as fast with it, and alone the same (README).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""EfficientNet-Lite0 with Coordinate Attention for leaf diseases: data, training, scores."""

__version__ = "0.1.0"

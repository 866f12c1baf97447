"""fit(config): one training, saved, resumed, on one device or several."""

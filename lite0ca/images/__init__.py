"""One photo's life: file -> pixels -> cache -> augmented batch."""

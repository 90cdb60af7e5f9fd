"""Train a classifier: the recipe and the loop."""

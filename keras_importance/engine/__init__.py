"""Runs a model fast on a fixed sample: scores of rows with features replaced, gradients, twins."""

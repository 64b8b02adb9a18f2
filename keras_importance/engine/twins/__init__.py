"""Copies of a model that are trained beside it as one program, each without a feature."""

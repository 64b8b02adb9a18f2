"""Cuts of a model, so that only the layers that a replaced feature changes are run anew."""

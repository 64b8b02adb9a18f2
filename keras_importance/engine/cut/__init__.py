"""Where a model is cut, so that only what a replaced feature changes is run."""

"""What goes in: anything that `fit` takes becomes one fixed sample of rows; features and groups."""

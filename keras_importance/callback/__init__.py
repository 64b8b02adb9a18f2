"""The Keras callback FeatureImportance, and what belongs to one run of `fit`."""

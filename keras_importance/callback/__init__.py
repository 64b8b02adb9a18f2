"""FeatureImportance: the Keras callback."""

"""Is a feature useless? The detector and its tests: of the threshold, of sets, of unused signal."""

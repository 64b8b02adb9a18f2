"""Is a feature useless? Detectors, the threshold test, sets, unused signal."""

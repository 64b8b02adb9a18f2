"""Donors, standard errors, intervals, bounds and tests: NumPy alone."""

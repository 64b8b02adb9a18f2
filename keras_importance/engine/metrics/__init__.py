"""Losses and metrics in one form, which scores each row or all rows at once."""

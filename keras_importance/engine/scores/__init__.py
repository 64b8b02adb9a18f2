"""Scores of rows with features replaced: exact, averaged, linearised, jointly."""

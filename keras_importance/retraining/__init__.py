"""What is lost without a feature? Models trained without it."""

"""What comes out: results, histories, verdicts and drift as immutable facts. No pictures, no Keras."""

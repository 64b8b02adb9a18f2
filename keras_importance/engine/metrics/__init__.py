"""What a model is scored with: losses, metrics, outputs."""

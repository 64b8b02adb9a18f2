"""Gradients of outputs and losses with respect to the inputs."""

"""The only rooms that know TensorFlow, JAX or torch."""

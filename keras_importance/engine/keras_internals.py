"""The mask that Keras keeps with a tensor: which steps of a padded sequence count."""

from __future__ import annotations

from typing import Any

try:  # An attribute on most backends, a table beside the tensors on JAX; no public name knows both.
    from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
except ImportError:

    def get_keras_mask(x: Any) -> Any:
        """The mask, or None."""
        return getattr(x, "_keras_mask", None)

    def set_keras_mask(x: Any, mask: Any) -> None:
        """Gives a tensor a mask."""
        x._keras_mask = mask


__all__ = ["get_keras_mask", "set_keras_mask"]

"""keras_importance: see which input features a Keras model uses, every epoch, while it trains."""

from typing import Any

import lazy_loader

# TensorBoard loads this package at its start: nothing heavy is imported before a name is asked for.
# The public names stand in __init__.pyi alone.
_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    return _public_name(name)

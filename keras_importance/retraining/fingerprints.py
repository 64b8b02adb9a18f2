"""Fingerprints: hashes of values that are the same in another process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from keras_importance.data.arrays import array_hash
from keras_importance.data.features import Feature


def fingerprint(value: Any) -> str:
    """A hash of a value: of its content, not of its address in memory."""
    return hashlib.sha256(_told(value).encode()).hexdigest()


def _told(value: Any) -> str:
    """A value as text, without addresses in memory and the numbers in names that Keras counts up."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_told(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_told, value))}]"
    if hasattr(value, "__array__"):
        return array_hash(value)
    if isinstance(value, Feature):
        return repr(value)
    return f"{getattr(value, '__name__', type(value).__qualname__)} {_told(_config(value))}"


def _config(value: Any) -> dict[str, Any]:
    """The settings of a Keras object; of others the attributes that are numbers."""
    try:
        config = value.get_config()
    except Exception:  # noqa: BLE001 (not every layer has one)
        attributes = getattr(value, "__dict__", {}).items()
        return {name: held for name, held in attributes if isinstance(held, (bool, int, float))}
    return dict(_without_names(config))


def _without_names(config: Any) -> Any:
    """The same without names, which Keras counts up through a process."""
    if isinstance(config, Mapping):
        return {key: _without_names(entry) for key, entry in config.items() if key != "name"}
    if isinstance(config, (list, tuple)):
        return [_without_names(entry) for entry in config]
    return config

"""Fingerprints: hashes of values that are equal in every process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from keras_importance.data.arrays import array_hash
from keras_importance.data.features import Feature


def fingerprint(value: Any) -> str:
    """SHA-256 hash, as hexadecimal text, of the content of a value; memory addresses don't count."""
    return hashlib.sha256(_told(value).encode()).hexdigest()


def _told(value: Any) -> str:
    """A value as text, without memory addresses and without names, which Keras numbers consecutively."""
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
    """The config of a Keras object; for any other object its attributes that are numbers."""
    try:
        config = value.get_config()
    except Exception:  # noqa: BLE001 (not every layer has one)
        attributes = getattr(value, "__dict__", {}).items()
        return {name: entry for name, entry in attributes if isinstance(entry, (bool, int, float))}
    return dict(_without_names(config))


def _without_names(config: Any) -> Any:
    """A copy of the config without names, which Keras numbers consecutively in a process."""
    if isinstance(config, Mapping):
        return {key: _without_names(entry) for key, entry in config.items() if key != "name"}
    if isinstance(config, (list, tuple)):
        return [_without_names(entry) for entry in config]
    return config

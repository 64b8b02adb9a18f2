"""Fingerprints of values: what a result depends on, as a hash that is the same in another process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from keras_importance.data.arrays import array_hash
from keras_importance.data.features import Feature


def fingerprint(value: Any) -> str:
    """A hash of all that can be told of a value."""
    return hashlib.sha256(_told(value).encode()).hexdigest()


def _told(value: Any) -> str:
    """What a value is, as far as it can be told, without an address in memory or a running number."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_told(one)}' for key, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_told, value))}]"
    if hasattr(value, "__array__"):
        return array_hash(value)
    if isinstance(value, Feature):
        return repr(value)
    return f"{getattr(value, '__name__', type(value).__qualname__)} {_told(_config(value))}"


def _config(value: Any) -> dict[str, Any]:
    """The settings of a layer, a metric, ... as Keras has them; of other things the plain ones."""
    try:
        config = value.get_config()
    except Exception:  # noqa: BLE001 (not every layer has one)
        found = getattr(value, "__dict__", {}).items()
        return {name: one for name, one in found if isinstance(one, (bool, int, float))}
    return dict(_without_names(config))


def _without_names(config: Any) -> Any:
    """The same without names, which Keras numbers through a process."""
    if isinstance(config, Mapping):
        return {key: _without_names(one) for key, one in config.items() if key != "name"}
    return [_without_names(one) for one in config] if isinstance(config, (list, tuple)) else config

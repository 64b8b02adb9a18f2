"""The data of the tab in event files: one summary per epoch, packed and unpacked in this file alone.

A summary is a rank-1 tensor of strings: a compressed JSON header, then arrays of little-endian floats.
Each summary holds all names, so a run may be continued with other features. TensorBoard keeps as few as
10 tensors of a tag (100 with its fast loader) and drops others at random. So at most ten epochs share a
tag, and none is ever dropped.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from keras_importance.results.result import ImportanceResult
    from keras_importance.results.verdict import Verdicts
    from keras_importance.statistics.arrays import Singles

PLUGIN_NAME = "keras_importance"
DATA = "importance_data"
STEPS = "importance_steps"

_OF_RESULTS = (
    "method", "metric", "n_samples", "error_source", "procedure", "baseline_score", "feature_names",
    "obtained", "notes",
)  # fmt: skip
_OF_VERDICTS = (
    "method", "threshold", "error_rate", "feature_names", "states", "partners", "reasons",
)  # fmt: skip

_VERSION = 1
_EPOCHS_PER_TAG = 10
# A map of time steps takes two bytes per cell. Of a larger map the most important features are kept.
_MAX_CELLS = 50_000


def tag_of(group: str, epoch: int) -> str:
    """The tag that holds an epoch, such as `importance_data/epochs_10_to_19` for epoch 12."""
    first = epoch - epoch % _EPOCHS_PER_TAG
    return f"{group}/epochs_{first}_to_{first + _EPOCHS_PER_TAG - 1}"


def steps_group(method: str) -> str:
    """The group of the tags that hold the maps of time steps of a method."""
    return f"{STEPS}/{method}"


# --- packing ------------------------------------------------------------------------------------


def packed(results: Iterable[ImportanceResult], verdicts: Iterable[Verdicts]) -> list[bytes]:
    """The parts of the summary of one epoch: all that the tab shows, without time steps.

    The arrays are of 4-byte floats: for each result `(4, n_features)`, the importance, the bounds of its
    interval and the epoch of the last exact score; for each detector `(3, n_features)`, `since`, `bound`
    and `p_value`. They are compressed: most features of wide data have neither interval nor epoch.
    """
    results, verdicts = list(results), list(verdicts)
    header = {
        "version": _VERSION,
        "compressed": True,
        "results": [_header_of(result, _OF_RESULTS) for result in results],
        "verdicts": [_header_of(judged, _OF_VERDICTS) for judged in verdicts],
    }
    arrays = [
        *(
            (result.importances_mean, result.ci_low, result.ci_high, result.exact_epoch)
            for result in results
        ),
        *((judged.since, judged.bound, judged.p_value) for judged in verdicts),
    ]
    blocks = (zlib.compress(np.asarray(rows, "<f4").tobytes(), 1) for rows in arrays)
    return [_compressed(header), *blocks]


def _header_of(value: ImportanceResult | Verdicts, names: Sequence[str]) -> dict[str, Any]:
    """The fields with these names as values for JSON."""
    return {name: _plain(getattr(value, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return dict(value) if isinstance(value, Mapping) else value


def packed_steps(result: ImportanceResult, by_step: NDArray[np.float64]) -> list[bytes]:
    """The parts of the summary of a map of time steps, in half precision relative to its maximum.

    Args:
        result: the result that the map belongs to.
        by_step: `(n_steps, n_features)` its importances, NaN for features without steps.
    """
    with_steps = np.flatnonzero(np.isfinite(by_step).any(axis=0))
    names = [result.feature_names[i] for i in with_steps]
    by_step = by_step[:, with_steps]
    n_features, n_kept = len(names), max(1, _MAX_CELLS // max(1, len(by_step)))
    if n_features > n_kept:
        kept = np.sort(np.argsort(-np.nansum(np.abs(by_step), axis=0), kind="stable")[:n_kept])
        by_step, names = by_step[:, kept], [names[i] for i in kept]
    scale = float(np.nanmax(np.abs(by_step), initial=0.0)) or 1.0
    header = {
        "version": _VERSION,
        "metric": result.metric,
        "feature_names": names,
        "n_features": n_features,
        "scale": scale,
    }
    return [_compressed(header), np.asarray(by_step / scale, "<f2").tobytes()]


def _compressed(header: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 1)


# --- unpacking ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StoredResult:
    """The part of an `ImportanceResult` that the tab shows.

    Attributes:
        facts: the scalars of the result by name.
        mean, low, high: `(n_features,)` importances and the bounds of their intervals.
        method, feature_names, obtained, notes, exact_epoch: as in `ImportanceResult`.
    """

    method: str
    feature_names: tuple[str, ...]
    facts: Mapping[str, Any]
    obtained: tuple[str, ...]
    notes: Mapping[str, str]
    mean: Singles
    low: Singles
    high: Singles
    exact_epoch: Singles


@dataclass(frozen=True, eq=False)
class StoredVerdicts:
    """The part of `Verdicts` that the tab shows, with the same attributes."""

    method: str
    feature_names: tuple[str, ...]
    states: tuple[str, ...]
    threshold: float | None
    error_rate: float
    partners: Mapping[str, str]
    reasons: Mapping[str, str]
    since: Singles
    bound: Singles
    p_value: Singles


@dataclass(frozen=True, eq=False)
class StoredEpoch:
    """The stored results and verdicts of one epoch."""

    epoch: int
    results: tuple[StoredResult, ...]
    verdicts: tuple[StoredVerdicts, ...]


@dataclass(frozen=True, eq=False)
class StoredSteps:
    """A map of time steps: `values` is `(n_steps, n_kept)`, of `n_features` that have steps."""

    feature_names: tuple[str, ...]
    n_features: int
    metric: str
    values: Singles


def unpacked(epoch: int, parts: Sequence[bytes]) -> StoredEpoch:
    """The results and verdicts of an epoch, from the parts that `packed` made.

    Raises:
        ValueError: for a summary that is damaged or of a later version.
    """
    header = _header(parts)
    try:
        blocks = map(zlib.decompress, parts[1:]) if header.get("compressed") else iter(parts[1:])
        arrays = iter(list(blocks))
        results = tuple(_result(stored, arrays) for stored in header["results"])
        verdicts = tuple(_verdicts(stored, arrays) for stored in header["verdicts"])
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"The summary of epoch {epoch} is damaged ({error!r}).") from error
    return StoredEpoch(epoch, results, verdicts)


def _result(header: dict[str, Any], arrays: Iterator[bytes]) -> StoredResult:
    names, obtained = tuple(header.pop("feature_names")), tuple(header.pop("obtained"))
    method, notes = header.pop("method"), header.pop("notes")
    return StoredResult(method, names, header, obtained, notes, *_rows(next(arrays, b""), 4, len(names)))


def _verdicts(header: dict[str, Any], arrays: Iterator[bytes]) -> StoredVerdicts:
    names, states = tuple(header.pop("feature_names")), tuple(header.pop("states"))
    since, bound, p_value = _rows(next(arrays, b""), 3, len(names))
    return StoredVerdicts(
        feature_names=names, states=states, since=since, bound=bound, p_value=p_value, **header
    )


def unpacked_steps(parts: Sequence[bytes]) -> StoredSteps:
    """The map of time steps, from the parts that `packed_steps` made.

    Raises:
        ValueError: for a summary that is damaged or of a later version.
    """
    header = _header(parts)
    names = tuple(header["feature_names"])
    values = np.frombuffer(parts[1], "<f2").astype(np.float32) * np.float32(header["scale"])
    return StoredSteps(
        names, header["n_features"], header["metric"], values.reshape(-1, max(1, len(names)))
    )


def _header(parts: Sequence[bytes]) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(zlib.decompress(parts[0]))
        version = header["version"]
    except (IndexError, TypeError, KeyError, zlib.error) as error:
        raise ValueError(f"The summary is damaged ({error!r}).") from error
    if version != _VERSION:
        raise ValueError(f"The summary has version {version}; this package reads {_VERSION}.")
    return header


def _rows(block: bytes, n_rows: int, n_features: int) -> Singles:
    return np.frombuffer(block, "<f4").reshape(n_rows, n_features)

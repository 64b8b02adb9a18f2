"""The runs of a log directory as the tab asks for them, read through the data provider alone."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.data.provider import RunTagFilter

from keras_importance.tensorboard_plugin.stored import (
    DATA,
    PLUGIN_NAME,
    STEPS,
    StoredEpoch,
    StoredSteps,
    StoredVerdicts,
    steps_group,
    tag_of,
    unpacked,
    unpacked_steps,
)

_SCALARS = "scalars"
_DRIFT = "importance_drift/"
_FLOOR = "_floor"
_MEASURES = ("spearman", "jensen_shannon", "top_k_overlap")
# More than TensorBoard keeps of any tag of ours, or of a scalar.
_ALL = 100_000
_CACHED_RUNS = 8

OBTAINED = ("", "exact", "screened", "carried")
Bundle = tuple[dict[str, Any], list[NDArray[Any]]]


class UnknownRunError(LookupError):
    """There is no such run, method or epoch."""


@dataclass(frozen=True)
class Place:
    """Where in TensorBoard a request reads: its context, and the experiment asked for."""

    context: Any
    experiment: str


class Runs:
    """Reads the runs that hold our summaries.

    Args:
        provider: TensorBoard's data provider.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, str], tuple[str, bytes]] = {}

    def index(self, place: Place) -> list[dict[str, Any]]:
        """Each run with a version that changes whenever there is more to see."""
        listing = self._tags(place)
        return [
            {"run": run, "version": _version(tags)}
            for run, tags in sorted(listing.items())
            if any(tag.startswith(f"{DATA}/") for tag in tags)
        ]

    def whole(self, place: Place, run: str) -> bytes:
        """All importances, intervals and states of all epochs of a run, as one bundle.

        Raises:
            UnknownRunError: without such a run.
        """
        tags = self._tags(place, [run]).get(run, {})
        version, key = _version(tags), (place.experiment, run)
        with self._lock:
            known = self._cache.get(key)
        if known is not None and known[0] == version:
            return known[1]
        epochs, n_unreadable = self._epochs(place, run, tags)
        header, arrays = aligned(epochs)
        header |= {
            "run": run,
            "version": version,
            "n_unreadable": n_unreadable,
            "with_steps": _methods_with_steps(tags),
            "drift": self._drift(place, run, {one.epoch for one in epochs}),
        }
        content = bundle(header, arrays)
        with self._lock:
            self._cache.pop(key, None)
            self._cache[key] = version, content
            while len(self._cache) > _CACHED_RUNS:
                self._cache.pop(next(iter(self._cache)))
        return content

    def evidence(self, place: Place, run: str, epoch: int) -> dict[str, Any]:
        """The evidence for the verdicts of one epoch, and the notes.

        Raises:
            UnknownRunError: without such a run or epoch.
        """
        stored = unpacked(epoch, self._parts(place, run, tag_of(DATA, epoch), epoch))
        return {
            "epoch": epoch,
            "verdicts": [_evidence(one) for one in stored.verdicts],
            "notes": {one.method: one.notes for one in stored.results if one.notes},
        }

    def steps(self, place: Place, run: str, method: str, epoch: int) -> bytes:
        """The map of time steps of one epoch, as one bundle.

        Raises:
            UnknownRunError: without such a map.
        """
        tag = tag_of(steps_group(method), epoch)
        found: StoredSteps = unpacked_steps(self._parts(place, run, tag, epoch))
        header = {
            "epoch": epoch,
            "names": found.feature_names,
            "n_features": found.n_features,
            "n_steps": len(found.values),
            "metric": found.metric,
            "values": 0,
        }
        return bundle(header, [found.values])

    def _tags(self, place: Place, runs: Sequence[str] | None = None) -> Mapping[str, Any]:
        listing: Mapping[str, Any] = self._provider.list_tensors(
            place.context,
            experiment_id=place.experiment,
            plugin_name=PLUGIN_NAME,
            run_tag_filter=None if runs is None else RunTagFilter(runs=runs),
        )
        return listing

    def _read(self, place: Place, run: str, tags: Sequence[str]) -> Mapping[str, Any]:
        # An empty list of tags would be taken for all of them by the fast loader.
        if not tags:
            return {}
        found: Mapping[str, Mapping[str, Any]] = self._provider.read_tensors(
            place.context,
            experiment_id=place.experiment,
            plugin_name=PLUGIN_NAME,
            downsample=_ALL,
            run_tag_filter=RunTagFilter(runs=[run], tags=tags),
        )
        return found.get(run, {})

    def _parts(self, place: Place, run: str, tag: str, epoch: int) -> Sequence[bytes]:
        for datum in reversed(self._read(place, run, [tag]).get(tag, ())):
            if datum.step == epoch:
                parts: Sequence[bytes] = list(datum.numpy)
                return parts
        raise UnknownRunError(f"There is nothing of epoch {epoch} in {run!r}.")

    def _epochs(self, place: Place, run: str, tags: Iterable[str]) -> tuple[list[StoredEpoch], int]:
        """The epochs in order, and how many summaries could not be read."""
        ours = [tag for tag in tags if tag.startswith(f"{DATA}/")]
        if not ours:
            raise UnknownRunError(f"There is no run {run!r} with importances.")
        found, n_unreadable = [], 0
        for datum in current(one for series in self._read(place, run, ours).values() for one in series):
            try:
                found.append(unpacked(datum.step, list(datum.numpy)))
            except ValueError:
                n_unreadable += 1
        return found, n_unreadable

    def _drift(self, place: Place, run: str, known: set[int]) -> list[dict[str, Any]]:
        """The drift measures with their floors, from the scalars that the stock dashboards show, too."""
        listing = self._provider.list_scalars(
            place.context,
            experiment_id=place.experiment,
            plugin_name=_SCALARS,
            run_tag_filter=RunTagFilter(runs=[run]),
        )
        tags = [tag for tag in listing.get(run, {}) if tag.startswith(_DRIFT)]
        if not tags:
            return []
        series = self._provider.read_scalars(
            place.context,
            experiment_id=place.experiment,
            plugin_name=_SCALARS,
            downsample=_ALL,
            run_tag_filter=RunTagFilter(runs=[run], tags=tags),
        )[run]
        points = {tag: {one.step: short(one.value) for one in series[tag]} for tag in tags}
        found = []
        for tag in sorted(tags):
            method, measure = _method_and_measure(tag.removeprefix(_DRIFT))
            if measure is None:
                continue
            floors = points.get(f"{tag}{_FLOOR}", {})
            epochs = sorted(points[tag].keys() & known)
            found.append(
                {
                    "method": method,
                    "measure": measure,
                    "epochs": epochs,
                    "values": [points[tag][epoch] for epoch in epochs],
                    "floors": [floors.get(epoch) for epoch in epochs],
                }
            )
        return found


def current(data: Iterable[Any]) -> list[Any]:
    """The data in the order of their epochs, without those of an earlier training in the same directory.

    TensorBoard itself forgets what was written over within a tag at most. Whatever is older than an
    earlier epoch is of an earlier training.
    """
    newest: dict[int, Any] = {}
    for datum in data:
        known = newest.get(datum.step)
        if known is None or known.wall_time <= datum.wall_time:
            newest[datum.step] = datum
    kept: list[Any] = []
    for _, datum in sorted(newest.items()):
        if not kept or kept[-1].wall_time <= datum.wall_time:
            kept.append(datum)
    return kept


def _method_and_measure(name: str) -> tuple[str, str | None]:
    for measure in _MEASURES:
        if name.endswith(f"_{measure}"):
            return name.removesuffix(f"_{measure}"), measure
    return name, None


def _version(tags: Mapping[str, Any]) -> str:
    """Changes whenever something was written; the time tells a run that began anew from the old one."""
    newest = max((one.max_wall_time for one in tags.values()), default=0.0)
    return f"{len(tags)}-{max((one.max_step for one in tags.values()), default=-1)}-{newest!r}"


def _methods_with_steps(tags: Iterable[str]) -> list[str]:
    return sorted({tag.split("/")[1] for tag in tags if tag.startswith(f"{STEPS}/")})


def _evidence(one: StoredVerdicts) -> dict[str, Any]:
    return {
        "method": one.method,
        "threshold": one.threshold,
        "error_rate": one.error_rate,
        "names": one.feature_names,
        "states": one.states,
        "since": [None if epoch < 0 else int(epoch) for epoch in one.since],
        "bound": [short(value) for value in one.bound],
        "p_value": [short(value) for value in one.p_value],
        "partners": one.partners,
        "reasons": one.reasons,
    }


def short(value: float) -> float | None:
    """Six digits, as many as single precision knows; None for what JSON has no number for."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


# --- all epochs of a run beside one another ---------------------------------------------------------


def aligned(epochs: Sequence[StoredEpoch]) -> Bundle:
    """`(n_epochs, n_features)` arrays of each method and of the states, and what they are.

    Features are in the order of the newest evaluation, then those that earlier ones alone have; what
    isn't known is NaN, or code 0.
    """
    places: dict[str, int] = {}
    for stored in reversed(epochs):
        for names in (
            *(one.feature_names for one in stored.results),
            *(one.feature_names for one in stored.verdicts),
        ):
            for name in names:
                places.setdefault(name, len(places))
    arrays: list[NDArray[Any]] = []
    shape = (len(epochs), len(places))

    def columns(names: tuple[str, ...]) -> slice | list[int]:
        return slice(None) if names == tuple(places) else [places[name] for name in names]

    def new(fill: float, dtype: type) -> tuple[int, NDArray[Any]]:
        arrays.append(np.full(shape, fill, dtype))
        return len(arrays) - 1, arrays[-1]

    methods = []
    for method in dict.fromkeys(one.method for stored in epochs for one in stored.results):
        numbers = {name: new(np.nan, np.float32) for name in ("mean", "low", "high")}
        obtained = new(0, np.uint8)
        evaluated: list[int] = []
        facts: Mapping[str, Any] = {}
        for row, stored in enumerate(epochs):
            for one in stored.results:
                if one.method == method:
                    here = columns(one.feature_names)
                    for name, (_, array) in numbers.items():
                        array[row, here] = getattr(one, name)
                    obtained[1][row, here] = [OBTAINED.index(how) for how in one.obtained]
                    facts = one.facts
                    evaluated.append(row)
        places_of = {name: number for name, (number, _) in numbers.items()}
        methods.append(
            {"name": method, **facts, **places_of, "obtained": obtained[0], "evaluated": evaluated}
        )
    return {
        "names": list(places),
        "epochs": [stored.epoch for stored in epochs],
        "obtained_names": OBTAINED,
        "methods": methods,
        "verdicts": [
            _states(epochs, method, columns, new)
            for method in dict.fromkeys(one.method for stored in epochs for one in stored.verdicts)
        ],
    }, arrays


def _states(epochs: Sequence[StoredEpoch], method: str, columns: Any, new: Any) -> dict[str, Any]:
    codes = {"": 0}
    number, array = new(0, np.uint8)
    thresholds: list[float | None] = [None] * len(epochs)
    error_rate = None
    for row, stored in enumerate(epochs):
        for one in stored.verdicts:
            if one.method == method:
                found = [codes.setdefault(state, len(codes)) for state in one.states]
                array[row, columns(one.feature_names)] = found
                thresholds[row] = None if one.threshold is None else short(one.threshold)
                error_rate = one.error_rate
    return {
        "method": method,
        "states": number,
        "state_names": list(codes),
        "thresholds": thresholds,
        "error_rate": error_rate,
    }


def bundle(header: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> bytes:
    """A JSON header and arrays in one body: its length, the header, the arrays, all at 4-byte places.

    The browser views the arrays in place: at 1,000 features x 200 epochs, text would take a second.
    """
    layout, contents, offset = [], [], 0
    for one in arrays:
        content = one.astype(one.dtype.newbyteorder("<")).tobytes()
        layout.append({"kind": one.dtype.str[1:], "offset": offset, "length": one.size})
        contents.append(content + bytes(-len(content) % 4))
        offset += len(contents[-1])
    head = json.dumps({**header, "arrays": layout}, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 4)
    return b"".join((struct.pack("<I", len(head)), head, *contents))

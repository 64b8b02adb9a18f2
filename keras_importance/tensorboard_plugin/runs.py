"""Answers the tab's requests about the runs of a log directory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from keras_importance.tensorboard_plugin.aligned import aligned
from keras_importance.tensorboard_plugin.bundle import bundle, json_number
from keras_importance.tensorboard_plugin.reader import Experiment, Reader
from keras_importance.tensorboard_plugin.stored import (
    DATA,
    STEPS,
    StoredVerdicts,
    steps_group,
    tag_of,
    unpacked,
    unpacked_steps,
)

_CACHED_RUNS = 8


class Runs:
    """Answers requests about the runs that hold summaries for the tab.

    Args:
        provider: TensorBoard's data provider.
    """

    def __init__(self, provider: Any) -> None:
        self._reader = Reader(provider)
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, str], tuple[str, bytes]] = {}

    def index(self, experiment: Experiment) -> list[dict[str, Any]]:
        """The runs in order of their names, each with a version that changes whenever data are added."""
        return [
            {"run": run, "version": _version(tags)}
            for run, tags in sorted(self._reader.tags(experiment).items())
            if any(tag.startswith(f"{DATA}/") for tag in tags)
        ]

    def whole(self, experiment: Experiment, run: str) -> bytes:
        """All importances, intervals and states of all epochs of a run, as one bundle; see `aligned`.

        Raises:
            UnknownRunError: for a run that doesn't exist or holds no importances.
        """
        tags = self._reader.tags(experiment, [run]).get(run, {})
        version, key = _version(tags), (experiment.id, run)
        with self._lock:
            known = self._cache.get(key)
        if known is not None and known[0] == version:
            return known[1]
        epochs, n_unreadable = self._reader.epochs(experiment, run, tags)
        content = bundle(
            {
                **aligned(epochs),
                "run": run,
                "version": version,
                "n_unreadable": n_unreadable,
                "with_steps": _methods_with_steps(tags),
                "drift": self._reader.drift(experiment, run, {epoch.epoch for epoch in epochs}),
            }
        )
        self._remember(key, version, content)
        return content

    def evidence(self, experiment: Experiment, run: str, epoch: int) -> dict[str, Any]:
        """The evidence for the verdicts of one epoch, and the notes.

        Raises:
            UnknownRunError: for a run or an epoch that doesn't exist.
            ValueError: for a summary that is damaged or of a later version.
        """
        stored = unpacked(epoch, self._reader.parts(experiment, run, tag_of(DATA, epoch), epoch))
        return {
            "epoch": epoch,
            "verdicts": [_evidence(verdicts) for verdicts in stored.verdicts],
            "notes": {result.method: result.notes for result in stored.results if result.notes},
        }

    def steps(self, experiment: Experiment, run: str, method: str, epoch: int) -> bytes:
        """The map of time steps of a method in one epoch, as one bundle.

        Raises:
            UnknownRunError: if there is no map of this run, method and epoch.
            ValueError: for a summary that is damaged or of a later version.
        """
        tag = tag_of(steps_group(method), epoch)
        steps = unpacked_steps(self._reader.parts(experiment, run, tag, epoch))
        return bundle(
            {
                "epoch": epoch,
                "names": steps.feature_names,
                "n_features": steps.n_features,
                "n_steps": len(steps.values),
                "metric": steps.metric,
                "values": steps.values,
            }
        )

    def _remember(self, key: tuple[str, str], version: str, content: bytes) -> None:
        """Keeps the bundle of a run; beyond 8 runs, the bundle kept longest is dropped."""
        with self._lock:
            self._cache.pop(key, None)
            self._cache[key] = version, content
            while len(self._cache) > _CACHED_RUNS:
                self._cache.pop(next(iter(self._cache)))


def _version(tags: Mapping[str, Any]) -> str:
    """A text that changes whenever data are added to the tags.

    The wall time of the newest datum tells a run that began anew from the old run.
    """
    newest = max((series.max_wall_time for series in tags.values()), default=0.0)
    last_step = max((series.max_step for series in tags.values()), default=-1)
    return f"{len(tags)}-{last_step}-{newest!r}"


def _methods_with_steps(tags: Iterable[str]) -> list[str]:
    return sorted({tag.split("/")[1] for tag in tags if tag.startswith(f"{STEPS}/")})


def _evidence(verdicts: StoredVerdicts) -> dict[str, Any]:
    return {
        "method": verdicts.method,
        "threshold": verdicts.threshold,
        "error_rate": verdicts.error_rate,
        "names": verdicts.feature_names,
        "states": verdicts.states,
        "since": [None if epoch < 0 else int(epoch) for epoch in verdicts.since],
        "bound": [json_number(value) for value in verdicts.bound],
        "p_value": [json_number(value) for value in verdicts.p_value],
        "partners": verdicts.partners,
        "reasons": verdicts.reasons,
    }

"""Reads what a run wrote for the tab, through TensorBoard's data provider alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tensorboard.data.provider import RunTagFilter

from keras_importance.tensorboard_plugin.bundle import json_number
from keras_importance.tensorboard_plugin.stored import DATA, PLUGIN_NAME, StoredEpoch, unpacked

_SCALARS = "scalars"
_DRIFT = "importance_drift/"
_FLOOR = "_floor"
_MEASURES = ("spearman", "jensen_shannon", "top_k_overlap")
# More data than TensorBoard keeps of any tag.
_ALL = 100_000


class UnknownRunError(LookupError):
    """There is no such run, method or epoch."""


@dataclass(frozen=True)
class Experiment:
    """The experiment of TensorBoard that a request reads: its context and its id."""

    context: Any
    id: str


class Reader:
    """Reads the package's summaries in any run.

    Args:
        provider: TensorBoard's data provider.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def tags(self, experiment: Experiment, runs: Sequence[str] | None = None) -> Mapping[str, Any]:
        """`{run: {tag: TensorTimeSeries}}` of the tab's tags.

        Args:
            experiment: where to look.
            runs: names of the runs; None for all runs.
        """
        listing: Mapping[str, Any] = self._provider.list_tensors(
            experiment.context,
            experiment_id=experiment.id,
            plugin_name=PLUGIN_NAME,
            run_tag_filter=None if runs is None else RunTagFilter(runs=runs),
        )
        return listing

    def parts(self, experiment: Experiment, run: str, tag: str, epoch: int) -> Sequence[bytes]:
        """The parts of the newest summary of an epoch under a tag.

        Raises:
            UnknownRunError: if the tag holds no summary of this epoch.
        """
        for datum in reversed(self._read(experiment, run, [tag]).get(tag, ())):
            if datum.step == epoch:
                parts: Sequence[bytes] = list(datum.numpy)
                return parts
        raise UnknownRunError(f"There is nothing of epoch {epoch} in {run!r}.")

    def epochs(
        self, experiment: Experiment, run: str, tags: Iterable[str]
    ) -> tuple[list[StoredEpoch], int]:
        """The epochs in order, and how many summaries could not be read.

        Raises:
            UnknownRunError: where no tag holds importances.
        """
        with_data = [tag for tag in tags if tag.startswith(f"{DATA}/")]
        if not with_data:
            raise UnknownRunError(f"There is no run {run!r} with importances.")
        epochs, n_unreadable = [], 0
        series = self._read(experiment, run, with_data).values()
        for datum in current(datum for data in series for datum in data):
            try:
                epochs.append(unpacked(datum.step, list(datum.numpy)))
            except ValueError:
                n_unreadable += 1
        return epochs, n_unreadable

    def drift(self, experiment: Experiment, run: str, epochs: set[int]) -> list[dict[str, Any]]:
        """The drift measures with their floors, from the scalars under `importance_drift/`.

        Each is `{"method", "measure", "epochs", "values", "floors"}`, in some epochs alone.
        """
        points = self._drift_points(experiment, run)
        measures = []
        for tag in sorted(points):
            method, measure = _method_and_measure(tag.removeprefix(_DRIFT))
            if measure is None:
                continue
            floors = points.get(f"{tag}{_FLOOR}", {})
            shown = sorted(points[tag].keys() & epochs)
            measures.append(
                {
                    "method": method,
                    "measure": measure,
                    "epochs": shown,
                    "values": [points[tag][epoch] for epoch in shown],
                    "floors": [floors.get(epoch) for epoch in shown],
                }
            )
        return measures

    def _drift_points(self, experiment: Experiment, run: str) -> dict[str, dict[int, float | None]]:
        """`{tag: {epoch: value}}` of the scalars of drift."""
        listing = self._provider.list_scalars(
            experiment.context,
            experiment_id=experiment.id,
            plugin_name=_SCALARS,
            run_tag_filter=RunTagFilter(runs=[run]),
        )
        tags = [tag for tag in listing.get(run, {}) if tag.startswith(_DRIFT)]
        if not tags:
            return {}
        series = self._provider.read_scalars(
            experiment.context,
            experiment_id=experiment.id,
            plugin_name=_SCALARS,
            downsample=_ALL,
            run_tag_filter=RunTagFilter(runs=[run], tags=tags),
        )[run]
        return {tag: {datum.step: json_number(datum.value) for datum in series[tag]} for tag in tags}

    def _read(self, experiment: Experiment, run: str, tags: Sequence[str]) -> Mapping[str, Any]:
        # An empty list of tags would be taken for all of them by the fast loader.
        if not tags:
            return {}
        series: Mapping[str, Mapping[str, Any]] = self._provider.read_tensors(
            experiment.context,
            experiment_id=experiment.id,
            plugin_name=PLUGIN_NAME,
            downsample=_ALL,
            run_tag_filter=RunTagFilter(runs=[run], tags=tags),
        )
        return series.get(run, {})


def current(data: Iterable[Any]) -> list[Any]:
    """The data in the order of their epochs, without data of an earlier training in the directory.

    TensorBoard itself drops overwritten data only within a tag. A datum belongs to an earlier training
    if it was written before the datum of an earlier epoch. Of one epoch the newest datum counts.
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
    """Method and measure of a name such as `permutation_spearman`.

    The measure is None for a name that ends with no measure, such as that of a floor.
    """
    for measure in _MEASURES:
        if name.endswith(f"_{measure}"):
            return name.removesuffix(f"_{measure}"), measure
    return name, None

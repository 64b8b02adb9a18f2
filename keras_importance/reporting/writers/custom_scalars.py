"""Charts for TensorBoard's Custom Scalars dashboard: each top feature with its interval as a band."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tensorboard.plugins.custom_scalar import layout_pb2

from keras_importance.reporting.plots.captions import method_title
from keras_importance.results.result import ImportanceResult

_MAX_CHARTS = 20
_FIRST_CHARTS = 10
_PARTS = ("value", "lower", "upper")


class CustomScalars:
    """The charts of all methods: which features have one, and in which order.

    Of up to 20 features, each feature with an interval has a chart. Of more features, those that get
    among the 10 most important have one, as long as there is room. There is room for 10 charts at the
    first evaluation and for two more each time the number of evaluations has doubled, up to 20. So
    features that are learned late find a place. A feature that has a chart keeps it. The charts are
    sorted by importance whenever a chart is added, and at each doubling.
    """

    def __init__(self) -> None:
        self._charted: dict[str, list[str]] = {}
        self._n_results: dict[str, int] = {}

    def scalars(self, result: ImportanceResult) -> Iterator[tuple[str, float]]:
        """The tags and values of the charts of a method, after the charts that this result adds.

        Each chart has a value and its lower and upper bound. The value repeats the importance:
        TensorBoard draws a band only where all three have the same steps, and the curve of the
        importance has more steps.
        """
        self._extend(result)
        charted = set(self._charted[result.method])
        values = np.stack([result.importances_mean, result.ci_low, result.ci_high], axis=1)
        is_finite = np.asarray(np.isfinite(values).all(axis=1))
        for index, name in enumerate(result.feature_names):
            if name in charted and is_finite[index]:
                yield from zip(_tags(result.method, name), values[index], strict=True)

    def layout(self) -> bytes:
        """The charts, one category for each method, as the dashboard reads them; empty for none."""
        categories = [
            layout_pb2.Category(
                title=method_title(method),
                # The dashboard shows the last of the list first.
                chart=[_chart(method, name) for name in reversed(names)],
            )
            for method, names in self._charted.items()
            if names
        ]
        layout: bytes = layout_pb2.Layout(category=categories).SerializeToString()
        return layout

    def _extend(self, result: ImportanceResult) -> None:
        mean, names = result.importances_mean, result.feature_names
        charted = self._charted.setdefault(result.method, [])
        n_results = self._n_results[result.method] = self._n_results.get(result.method, 0) + 1
        order = np.argsort(-np.nan_to_num(mean, nan=-np.inf), kind="stable")
        has_chart = np.isfinite(mean) & np.isfinite(result.std_error)
        ranked = [names[i] for i in order[has_chart[order]][: 2 * _MAX_CHARTS]]
        n_charts = _MAX_CHARTS
        if len(names) > _MAX_CHARTS:
            ranked = ranked[:_FIRST_CHARTS]
            n_charts = min(_FIRST_CHARTS + 2 * (n_results.bit_length() - 1), _MAX_CHARTS)
        new = [name for name in ranked if name not in charted][: max(n_charts - len(charted), 0)]
        has_doubled = n_results.bit_count() == 1
        if new or has_doubled:
            every = {*charted, *new}
            self._charted[result.method] = [names[i] for i in order if names[i] in every]


def _chart(method: str, feature: str) -> layout_pb2.Chart:
    # The dashboard takes tags of margin charts as they are, not for patterns.
    series = layout_pb2.MarginChartContent.Series(
        **dict(zip(_PARTS, _tags(method, feature), strict=True))
    )
    return layout_pb2.Chart(title=feature, margin=layout_pb2.MarginChartContent(series=[series]))


def _tags(method: str, feature: str) -> list[str]:
    return [f"importance_{method}_bounds/{feature}/{part}" for part in _PARTS]

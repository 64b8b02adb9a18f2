"""The newest result of each method; a result that isn't there says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keras_importance.errors import did_you_mean
from keras_importance.results.result import ImportanceResult


class ResultsByMethod(dict[str, ImportanceResult]):
    """The newest result of each method by its name. A missing one is a KeyError that says why.

    Args:
        results: the results by the names of their methods.
        methods: names of the methods that are computed.
        failures: why methods failed, by their names.
    """

    def __init__(
        self,
        results: Mapping[str, ImportanceResult],
        methods: Sequence[str],
        failures: Mapping[str, str],
    ) -> None:
        super().__init__(results)
        self._methods = tuple(methods)
        self._failures = dict(failures)

    def __missing__(self, name: object) -> ImportanceResult:
        if name not in self._methods:
            known = ", ".join(map(repr, self._methods))
            raise KeyError(
                f"FeatureImportance computes no method {name!r}.{did_you_mean(name, self._methods)} It "
                f"computes {known}; methods= takes others."
            )
        if name in self._failures:
            raise KeyError(
                f"FeatureImportance has no result of {name!r}, which failed: {self._failures[str(name)]}"
            )
        raise KeyError(
            f"FeatureImportance has no result of {name!r} yet. Attach it to a training: "
            "model.fit(..., callbacks=[importance]). A training that could not be evaluated has warned "
            "why."
        )

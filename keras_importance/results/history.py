"""The results of all evaluations of a training: ImportanceHistory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from keras_importance.errors import speaking_as
from keras_importance.results import history_file, html_table
from keras_importance.results.atomic_files import in_a_folder, whole_or_not_at_all
from keras_importance.results.dataframe import as_dataframe
from keras_importance.results.disagreements import (
    Finding,
    Gap,
    disagreeing_features,
    memorised_features,
)
from keras_importance.results.drift import Drift, Mover, Stability, transitions
from keras_importance.results.epochs import before, epoch_of, follow, key_of, merged
from keras_importance.results.result import COLUMNS, ImportanceResult
from keras_importance.results.typical_errors import TypicalErrors
from keras_importance.results.verdict import Verdict, Verdicts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ImportanceHistory:
    """The results of all evaluations so far: immutable; adding results makes a new history.

    Attributes:
        results: all results in the order of their epochs, those outside training last.
        judged: the verdicts after each evaluation, in the same order.
    """

    results: tuple[ImportanceResult, ...] = ()
    judged: tuple[Verdicts, ...] = ()

    def __repr__(self) -> str:
        """The methods and epochs, in one line."""
        return f"<ImportanceHistory: {self.methods} in the epochs {self.epochs}>"

    def __add__(
        self, more: ImportanceResult | Verdicts | Iterable[ImportanceResult | Verdicts]
    ) -> ImportanceHistory:
        """This history with more results and verdicts, which replace those of their method and epoch."""
        more = (more,) if isinstance(more, (ImportanceResult, Verdicts)) else tuple(more)
        results = [fact for fact in more if isinstance(fact, ImportanceResult)]
        judged = [fact for fact in more if isinstance(fact, Verdicts)]
        if not (follow(self.results, results) and follow(self.judged, judged)):
            return ImportanceHistory(merged(self.results, results), merged(self.judged, judged))
        longer = ImportanceHistory((*self.results, *results), (*self.judged, *judged))
        vars(longer).update(self._known_of(results, judged))
        return longer

    def _known_of(self, results: list[ImportanceResult], judged: list[Verdicts]) -> dict[str, Any]:
        """The cached properties of this history with new facts at its end, without a look at the old."""
        facts: list[ImportanceResult | Verdicts] = [*results, *judged]
        new = dict.fromkeys(result.epoch for result in results if result.epoch is not None)
        known: dict[str, Any] = {
            "newest": {**self.newest, **{result.method: result for result in results}},
            "epochs": (*self.epochs, *(epoch for epoch in new if epoch not in self.epochs[-1:])),
            "_names": self._names | {fact.method for fact in facts},
        }
        if len(known["_names"]) > 1:
            by_method = {name: self.of(name) for name in self._names}
            for fact in facts:
                by_method[fact.method] = by_method.get(fact.method, ImportanceHistory()) + fact
            known["_by_method"] = by_method
        errors = vars(self).get("typical_errors")
        if errors is not None and all(len(r.feature_names) == len(errors.logs) for r in results):
            known["typical_errors"] = errors.then(results)
        return known

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[ImportanceResult]:
        return iter(self.results)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in order of appearance."""
        return tuple(self.newest)

    @cached_property
    def epochs(self) -> tuple[int, ...]:
        """The epochs that were evaluated, in order."""
        return tuple(sorted({result.epoch for result in self.results if result.epoch is not None}))

    @cached_property
    def newest(self) -> Mapping[str, ImportanceResult]:
        """The newest result of each method, in order of appearance."""
        return {result.method: result for result in self.results}

    @cached_property
    def typical_errors(self) -> TypicalErrors:
        """The typical standard error of each feature; of a history of one method."""
        return TypicalErrors.of(self.results)

    def of(self, method: str) -> ImportanceHistory:
        """The results of one method, and the verdicts on them."""
        if method not in self._names:
            return ImportanceHistory()
        return self if len(self._names) == 1 else self._by_method[method]

    @cached_property
    def _names(self) -> frozenset[str]:
        """The methods that there are results of, or verdicts on."""
        return frozenset([result.method for result in self.results] + [v.method for v in self.judged])

    @cached_property
    def _by_method(self) -> dict[str, ImportanceHistory]:
        """The history of each of several methods. A history of one method would refer to itself."""
        return {
            name: ImportanceHistory(
                tuple(result for result in self.results if result.method == name),
                tuple(verdicts for verdicts in self.judged if verdicts.method == name),
            )
            for name in self._names
        }

    def before(self, epoch: int) -> ImportanceHistory:
        """The results and verdicts of earlier epochs."""
        return ImportanceHistory(
            self.results[: before(self.results, epoch)], self.judged[: before(self.judged, epoch)]
        )

    def at(self, epoch: int) -> ImportanceHistory:
        """The results and verdicts of one epoch."""
        first, end = before(self.results, epoch), before(self.results, epoch + 1)
        of_judged = slice(before(self.judged, epoch), before(self.judged, epoch + 1))
        return ImportanceHistory(self.results[first:end], self.judged[of_judged])

    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts on each feature after each evaluation, evaluation by evaluation."""
        return tuple(verdict for judged in self.judged for verdict in judged)

    @property
    def useless_features(self) -> tuple[str, ...]:
        """Names of the features that may be dropped together, by the newest verdicts."""
        return self.judged[-1].useless if self.judged else ()

    def verdicts_before(self, fact: ImportanceResult | Verdicts) -> Verdicts | None:
        """The newest verdicts on the same method and features from an earlier epoch."""
        for index in reversed(range(before(self.judged, epoch_of(fact)))):
            verdicts = self.judged[index]
            if verdicts.method == fact.method and verdicts.feature_names == fact.feature_names:
                return verdicts
        return None

    def to_dataframe(self) -> pd.DataFrame:
        """A tidy table: one row for each epoch, method and feature, most important first.

        The columns, `epoch`, `method`, `feature`, `importance` to `verdict` and `note`, are those of
        `ImportanceResult.columns`. A verdict stands beside the method whose importance was judged.

        Raises:
            ImportError: without pandas.
        """
        states = {key_of(verdicts): {"verdict": verdicts.states} for verdicts in self.judged}
        tables = [result.columns() | states.get(key_of(result), {}) for result in self.results]
        return as_dataframe(tables, tuple(COLUMNS))

    def drift(self) -> tuple[Drift, ...]:
        """How far the importances moved from each evaluation to the next one of the same method.

        `spearman`: rank correlation over the features whose interval lies above 0 in either of the
        two evaluations; over all features it would follow the noise of the useless ones.
        `jensen_shannon`: divergence in bits of the positive importances as fractions of their sum.
        `top_k_overlap`: the fraction of the `k` largest importances that both evaluations have in
        common, with `k` a third of the features and 10 at most.
        A measure that is undefined for a pair of evaluations is NaN. Only features that were scored
        exactly in both evaluations are compared.

        `Drift.floor` is the value that the measure would not pass, in 19 of 20 cases, if nothing but the
        noise of the rows had changed. The errors of both evaluations are drawn with the same random
        signs of the rows, so they are correlated like the evaluations. A change below the error of one
        evaluation is no drift, even where both score the same rows and so show it. The floor is NaN
        without draws of the errors. Gradient importance has none: it keeps sums over the rows alone.

        Source: van der Vaart & Wellner (1996), ch. 2.9, for the multipliers.
        """
        return tuple(
            drift
            for method in self.methods
            for step in transitions(self.of(method).results)
            for drift in step.drifts()
        )

    def movers(
        self, method: str | None = None, *, alpha: float = 0.05, min_share: float = 0.01
    ) -> tuple[Mover, ...]:
        """The features whose importance changed from one evaluation to the next by more than noise.

        A feature is named if `z = change / std_error` lies beyond the two-sided quantile at
        `alpha / n_features`. The standard error is that of the change. It is smaller than the errors of
        the importances where both evaluations score the same rows.

        Args:
            method: name of the method; None for all.
            alpha: chance that a step without a change names any feature.
            min_share: changes below this share of the explained loss are left out, as training moves
                every weight a little. The share is that of `UselessFeatureDetector`.
        """
        return tuple(
            mover
            for name in (self.methods if method is None else (method,))
            for step in transitions(self.of(name).results)
            for mover in step.movers(alpha, min_share)
        )

    def stable_since(self, method: str | None = None) -> int | None:
        """The epoch from which on the importances have been stable; None if they aren't.

        They are stable if the Jensen-Shannon divergence has stayed within its floor for at least three
        steps up to now: from each evaluation to the next, and from the first stable one to each.

        Args:
            method: name of the method; None for all methods that have floors.
        """
        with_draws = [name for name, result in self.newest.items() if result.draws is not None]
        names = with_draws if method is None else [method]
        since = [Stability.of(results).since for name in names if (results := self.of(name).results)]
        known = [epoch for epoch in since if epoch is not None]
        return max(known) if known and len(known) == len(since) else None

    def disagreements(
        self, *, gradient: str = "gradient", permutation: str = "permutation"
    ) -> tuple[Finding, ...]:
        """The features that move the output like useful features, but not the loss, by newest results.

        A feature is named if

        - its gradient importance lies above the median of the useful features' gradient importances,
        - its interval by the other method reaches down to 0, or it is in the set that may be dropped,
        - and this interval stays below the median importance of the useful features; otherwise there
          are too few rows to say that the feature has no importance.

        Useful features are the features with the verdict `"useful"`; without verdicts, the features
        whose interval lies above 0. Redundant and latent features are left out, as their verdicts say
        why the loss doesn't move. Empty where the two methods have no results on the same features at
        the same epoch.

        Args:
            gradient: name of the method that measures how much the output moves.
            permutation: name of the method that measures how much the loss moves.
        """
        slope, loss = self.newest.get(gradient), self.newest.get(permutation)
        if slope is None or loss is None:
            return ()
        if (slope.epoch, slope.feature_names) != (loss.epoch, loss.feature_names):
            return ()
        judged = None
        if loss.epoch is not None:
            of_epoch = self.at(loss.epoch).judged
            judged = next((verdicts for verdicts in of_epoch if verdicts.method == permutation), None)
        return disagreeing_features(slope, loss, judged)

    def memorised_features(
        self,
        training: ImportanceHistory,
        *,
        method: str = "permutation",
        min_share: float = 0.01,
        alpha: float = 0.05,
    ) -> tuple[Gap, ...]:
        """The features that the model has memorised, largest gap first.

        This history must be about the validation rows. Two callbacks in one `fit` give both histories,
        one of them with the training rows as `validation_data=`.

        A feature is named if

        - its importance on the training rows exceeds that on the validation rows by more than
          `min_share` of the explained loss,
        - and its interval on the validation rows reaches down to 0.

        The first condition is tested one-sided, at `alpha / n_features`. The two sets of rows are
        independent, so the variances add up.

        Args:
            training: importances of the same features on training rows.
            method: name of the method to compare.
            min_share: share of the explained loss that a gap must exceed.
            alpha: chance of naming any feature without a gap.

        Raises:
            ValueError: unless both histories have results of the method on the same features.
        """
        seen, unseen = training.newest.get(method), self.newest.get(method)
        if seen is None or unseen is None:
            raise ValueError(
                f"memorised_features got no results of {method!r} on both sides. Compute it."
            )
        if seen.feature_names != unseen.feature_names:
            raise ValueError(
                "memorised_features got results on different features. Pass the same features= to both."
            )
        return memorised_features(seen, unseen, min_share=min_share, alpha=alpha)

    def to_html(self, path: str | os.PathLike[str], *, title: str = "Feature importance") -> None:
        """Writes a page that needs no other file: pictures, tables and verdicts of each method.

        Args:
            path: the file, such as `"importance.html"`; its folder must exist.
            title: what stands at the top.

        Raises:
            FileNotFoundError: if the folder doesn't exist.
        """
        # The one facade from facts to pictures: imported when a page is asked for.
        from keras_importance.reporting import html_page

        with whole_or_not_at_all(in_a_folder(path, "to_html")) as file:
            file.write(html_page.page(self, title).encode())

    def _repr_html_(self) -> str:
        """What a notebook shows: the newest results."""
        return html_table.newest_table(tuple(self.newest.values()), self.verdicts())

    def save(self, path: str | os.PathLike[str], *, compressed: bool = True) -> None:
        """Writes the history to one file, whole or not at all: a NumPy archive without pickles.

        Args:
            path: the file, such as `"history.npz"`; its folder must exist.
            compressed: False for a larger file that is written faster, for 1,000 features ten times.

        Raises:
            FileNotFoundError: if the folder doesn't exist.
        """
        target = in_a_folder(path, "save")
        with whole_or_not_at_all(target) as file:
            history_file.write(file, self.results, self.judged, compressed=compressed)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ImportanceHistory:
        """Reads what `save` wrote; never runs code that a file brings along.

        Raises:
            FileNotFoundError: without such a file.
            ValueError: for a file that is damaged or was not written by `save`.
        """
        with speaking_as("ImportanceHistory.load"):
            return cls(*history_file.read(path))

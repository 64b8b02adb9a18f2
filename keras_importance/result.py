"""What an evaluation found (ImportanceResult), and what all evaluations found (ImportanceHistory)."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from keras_importance import html
from keras_importance.drift import Drift, Mover, Stability, steps
from keras_importance.errors import InvalidArgumentError, reason_of, speaking_as
from keras_importance.statistics import Floats, Integers, tail_quantile

if TYPE_CHECKING:
    import pandas as pd

ErrorSource = Literal["rows", "repeats"]
Obtained = Literal["exact", "screened", "carried"]

IN_SET = ("useless", "harmful")
"""States of features in the set that may be dropped together."""

_LEVEL = 0.95
_VERDICT_ARRAYS: dict[str, Any] = {
    "since": np.int64, "estimate": np.float64, "bound": np.float64, "streak": np.int64,
    "p_value": np.float64,
}  # fmt: skip
_FORMAT = "keras_importance.history"
_VERSION = 2


@dataclass(frozen=True, eq=False)
class Explained:
    """What a model explains beyond the best constant prediction: the scale that importances are held to.

    Attributes:
        loss: mean over rows of the constant's score minus the model's, larger means explains more.
        std_error: its standard error.
        reference: what the model is compared with: `"constant"`, or `"all features shuffled"` where the
            metric has no score for a constant prediction.
        covariance: `(n_features,)` covariance of each importance with `loss`.
        third: `(n_features, 4)` third moments `E m³, E m² o, E m o², E o³` of the errors of the
            importance `m` and of the loss `o`.
    """

    loss: float
    std_error: float
    reference: str
    covariance: Floats
    third: Floats

    def __post_init__(self) -> None:
        for name in ("covariance", "third"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))


@dataclass(frozen=True, eq=False)
class ImportanceResult:
    """How much each feature matters to a model, by one method, at one epoch.

    A larger importance always means a more useful feature, whichever way the metric points. The
    intervals are for one feature at a time, at 95%.

    Attributes:
        method: name of the method, such as `"permutation"`.
        epoch: 0-based epoch of the evaluation; None outside training.
        feature_names: names of the features, in the order of every array here.
        importances: `(n_features, n_repeats)` importance of each feature in each repeat.
        std_error: `(n_features,)` standard error of `importances_mean`.
        baseline_score: the metric on the untouched rows; NaN where the method scores nothing.
        metric: name of the metric or the quantity that the method differentiates; its unit is the
            unit of the importances.
        n_samples: how many rows were used.
        direction: `(n_features,)` signed mean effect of a feature on the output; None where the
            method, or an output of several units, has no sign.
        by_step: `(n_steps, n_features)` importance at each time step, NaN for features without
            steps; None where there are no sequences.
        error_source: `"rows"` where the error is that of a new validation set of the same size;
            `"repeats"` where it covers the shuffling alone, for metrics that aren't a mean over rows.
        notes: why a feature has no number, by the feature's name.
        obtained: `(n_features,)` how each number was found: `"exact"`; `"screened"`, by the model's
            first-order approximation, where the time budget allowed no more; `"carried"` over from the
            last exact score, where there is no approximation either. Only exact numbers have an error.
        exact_epoch: `(n_features,)` epoch of the last exact score; NaN for none.
        n_rows: `(n_features,)` how many rows each number comes from.
        n_blocks: how many independent blocks of rows the error comes from; None where each row is one.
        degrees: `(n_features,)` degrees of freedom of the standard errors; NaN for normal ones.
        explained: what the model explains at all, which verdicts compare importances with; None where
            the metric is no mean over rows.
        draws: `(n_features, n_draws)` what the errors of the importances could have been, with the same
            random signs of the rows in each evaluation; None where nothing drew them.
        procedure: how features were left out, where there is more than one way: `"lock step"`,
            `"refit, columns masked"`, ...; else empty.
    """

    method: str
    epoch: int | None
    feature_names: tuple[str, ...]
    importances: Floats
    std_error: Floats
    baseline_score: float
    metric: str
    n_samples: int
    direction: Floats | None = None
    by_step: Floats | None = None
    error_source: ErrorSource = "rows"
    notes: Mapping[str, str] = field(default_factory=dict)
    obtained: tuple[Obtained, ...] = ()
    exact_epoch: Floats = field(default_factory=lambda: np.empty(0))
    n_rows: Floats = field(default_factory=lambda: np.empty(0))
    n_blocks: int | None = None
    degrees: Floats = field(default_factory=lambda: np.empty(0))
    explained: Explained | None = None
    draws: NDArray[np.float32] | None = None
    procedure: str = ""

    def __repr__(self) -> str:
        """What it is about, in one line: the arrays of many features fill a screen."""
        return (
            f"<ImportanceResult: {self.method} of {len(self.feature_names)} features, "
            f"epoch {self.epoch}>"
        )

    def __post_init__(self) -> None:
        n_features = len(self.feature_names)
        self._fill_in(n_features)
        shapes = {
            "importances": (n_features, *np.shape(self.importances)[1:]),
            "std_error": (n_features,),
            "direction": (n_features,),
            "exact_epoch": (n_features,),
            "n_rows": (n_features,),
            "degrees": (n_features,),
            "by_step": (0 if self.by_step is None else len(self.by_step), n_features),
            "draws": (n_features, *(() if self.draws is None else self.draws.shape[1:])),
        }
        for name, shape in shapes.items():
            given = getattr(self, name)
            if given is None:
                continue
            values = _read_only(given, np.float32 if name == "draws" else np.float64)
            if values.shape != shape or (name in ("importances", "draws") and values.ndim != 2):
                raise ValueError(
                    f"{self.method!r} returned {name} of shape {values.shape} for {n_features} "
                    "features. Return one row, or for by_step one column, per feature."
                )
            object.__setattr__(self, name, values)
        object.__setattr__(self, "feature_names", tuple(self.feature_names))
        object.__setattr__(self, "notes", MappingProxyType(dict(self.notes)))

    def _fill_in(self, n_features: int) -> None:
        """What isn't said of the features is that all were scored exactly, now, on all rows."""
        if not self.obtained:
            object.__setattr__(self, "obtained", ("exact",) * n_features)
        if not np.size(self.exact_epoch):
            epoch = math.nan if self.epoch is None else self.epoch
            object.__setattr__(self, "exact_epoch", np.full(n_features, epoch))
        if not np.size(self.n_rows):
            object.__setattr__(self, "n_rows", np.full(n_features, self.n_samples))
        if not np.size(self.degrees):
            units = self.n_samples if self.n_blocks is None else self.n_blocks
            degrees = self.n_repeats - 1 if self.error_source == "repeats" else units - 2
            object.__setattr__(self, "degrees", np.full(n_features, degrees))
        object.__setattr__(self, "obtained", tuple(self.obtained))
        if len(self.obtained) != n_features or not set(self.obtained) <= set(get_args(Obtained)):
            raise ValueError(
                f"{self.method!r} returned obtained={self.obtained} for {n_features} features. Return "
                f"one of {', '.join(get_args(Obtained))} per feature."
            )

    @property
    def n_repeats(self) -> int:
        """How many repeats the importances were averaged over."""
        return int(self.importances.shape[1])

    @property
    def importances_mean(self) -> Floats:
        """`(n_features,)` mean over the repeats: the importance."""
        return np.asarray(self.importances.mean(axis=1))

    @property
    def importances_std(self) -> Floats:
        """`(n_features,)` standard deviation over the repeats; no standard error, see `std_error`."""
        return np.asarray(self.importances.std(axis=1))

    @property
    def ci_low(self) -> Floats:
        """`(n_features,)` lower bound of the 95% interval."""
        return self.importances_mean - self._half_width

    @property
    def ci_high(self) -> Floats:
        """`(n_features,)` upper bound of the 95% interval."""
        return self.importances_mean + self._half_width

    @property
    def rank(self) -> Floats:
        """`(n_features,)` 1 for the most important feature; NaN for those without a number."""
        mean = self.importances_mean
        rank = np.full(len(mean), math.nan)
        known = np.flatnonzero(np.isfinite(mean))
        rank[known[np.argsort(-mean[known], kind="stable")]] = np.arange(1, len(known) + 1)
        return rank

    def to_dataframe(self) -> pd.DataFrame:
        """One row per feature, most important first. Needs pandas."""
        return ImportanceHistory((self,)).to_dataframe()

    @property
    def _half_width(self) -> Floats:
        quantiles = [tail_quantile((1 - _LEVEL) / 2, degrees) for degrees in self.degrees]
        return np.asarray(np.array(quantiles) * self.std_error)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "notes": dict(self.notes)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, notes=MappingProxyType(state["notes"]))


class Verdict(NamedTuple):
    """What is known of the use of one feature after an evaluation, and on what evidence.

    Attributes:
        epoch: epoch of the evaluation; None outside training.
        method: name of the method whose importance was judged.
        feature: name of the feature.
        state: `"useful"`, `"useless"`, `"harmful"`, `"redundant"`, `"latent"` or `"undecided"`; see
            `UselessFeatureDetector`.
        since: epoch in which it reached this state.
        estimate: its importance.
        bound: of a useful feature the lower bound of the importance, else the upper one; moved by the
            error of the threshold, so that it is to be compared with `threshold`.
        threshold: the importance below which a feature is useless.
        error_rate: chance that any feature is wrongly called useless in the training.
        p_value: of the test for signal that the network does not use; NaN where it wasn't asked.
        partner: of a redundant feature the one that is in the set in its place; else None.
        reason: why there is no verdict; empty where there is one.
    """

    epoch: int | None
    method: str
    feature: str
    state: str
    since: int | None
    estimate: float
    bound: float
    threshold: float
    error_rate: float
    p_value: float
    partner: str | None
    reason: str


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The verdicts on all features after one evaluation; iterating gives each as a `Verdict`.

    Attributes:
        epoch, method, threshold, error_rate: as in `Verdict`.
        feature_names, states: of each feature.
        since, estimate, bound, p_value: `(n_features,)`.
        streak: `(n_features,)` evaluations running in which a feature was below the threshold.
        partners: of redundant features, by name.
        reasons: of features without a verdict, by name.
    """

    epoch: int | None
    method: str
    feature_names: tuple[str, ...]
    states: tuple[str, ...]
    since: Integers
    estimate: Floats
    bound: Floats
    threshold: float
    error_rate: float
    streak: Integers
    p_value: Floats
    partners: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, dtype in _VERDICT_ARRAYS.items():
            object.__setattr__(self, name, _read_only(getattr(self, name), dtype))
        for name in ("partners", "reasons"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        for name in ("feature_names", "states"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "threshold", float(self.threshold))

    @property
    def useless(self) -> tuple[str, ...]:
        """The features that may be dropped together: the useless and the harmful ones."""
        pairs = zip(self.feature_names, self.states, strict=True)
        return tuple(name for name, state in pairs if state in IN_SET)

    def __iter__(self) -> Iterator[Verdict]:
        for i, name in enumerate(self.feature_names):
            yield Verdict(
                self.epoch,
                self.method,
                name,
                self.states[i],
                int(self.since[i]) if self.since[i] >= 0 else None,
                float(self.estimate[i]),
                float(self.bound[i]),
                self.threshold,
                self.error_rate,
                float(self.p_value[i]),
                self.partners.get(name),
                self.reasons.get(name, ""),
            )

    def changes(self, before: Verdicts | None) -> tuple[Verdict, ...]:
        """The verdicts whose state differs from that of the evaluation before."""
        past = ("undecided",) * len(self.states) if before is None else before.states
        return tuple(one for one, state in zip(self, past, strict=True) if one.state != state)


_Kind = TypeVar("_Kind")
_Dated = TypeVar("_Dated", bound="ImportanceResult | Verdicts")


@dataclass(frozen=True, eq=False)
class ImportanceHistory:
    """The results of all evaluations so far: immutable; adding results makes a new history."""

    results: tuple[ImportanceResult, ...] = ()
    judged: tuple[Verdicts, ...] = ()

    def __repr__(self) -> str:
        """What it holds, in one line."""
        return f"<ImportanceHistory: {self.methods} in the epochs {self.epochs}>"

    def __add__(
        self, found: ImportanceResult | Verdicts | Iterable[ImportanceResult | Verdicts]
    ) -> ImportanceHistory:
        """This history with more; what is there for the same method and epoch is replaced."""
        found = [found] if isinstance(found, (ImportanceResult, Verdicts)) else list(found)
        results = [one for one in found if isinstance(one, ImportanceResult)]
        judged = [one for one in found if isinstance(one, Verdicts)]
        return ImportanceHistory(_merged(self.results, results), _merged(self.judged, judged))

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[ImportanceResult]:
        return iter(self.results)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in order of appearance."""
        return tuple(dict.fromkeys(one.method for one in self.results))

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs that were evaluated, in order."""
        return tuple(sorted({one.epoch for one in self.results if one.epoch is not None}))

    @property
    def newest(self) -> dict[str, ImportanceResult]:
        """The newest result of each method."""
        return {one.method: one for one in self.results}

    def of(self, method: str) -> ImportanceHistory:
        """The results of one method."""
        return self._only(lambda one: one.method == method)

    def before(self, epoch: int) -> ImportanceHistory:
        """The results of earlier epochs."""
        return self._only(lambda one: _epoch_of(one) < epoch)

    def at(self, epoch: int) -> ImportanceHistory:
        """The results of one epoch."""
        return self._only(lambda one: one.epoch == epoch)

    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts after each evaluation on each feature, in that order."""
        return tuple(verdict for judged in self.judged for verdict in judged)

    @property
    def useless_features(self) -> tuple[str, ...]:
        """Names of the features that may be dropped together, by the newest verdicts."""
        return self.judged[-1].useless if self.judged else ()

    def verdicts_before(self, result: ImportanceResult) -> Verdicts | None:
        """The newest verdicts by the same method on the same features from an earlier epoch."""
        earlier = [
            one
            for one in self.judged
            if one.method == result.method
            and one.feature_names == result.feature_names
            and _epoch_of(one) < _epoch_of(result)
        ]
        return earlier[-1] if earlier else None

    def _only(self, condition: Callable[[ImportanceResult | Verdicts], bool]) -> ImportanceHistory:
        return ImportanceHistory(
            tuple(one for one in self.results if condition(one)),
            tuple(one for one in self.judged if condition(one)),
        )

    def to_dataframe(self) -> pd.DataFrame:
        """A tidy table: one row for each epoch, method and feature, most important first.

        Columns: `epoch, method, feature, importance, std_error, ci_low, ci_high, rank,
        importance_std, direction, metric, baseline_score, n_samples, error_source, obtained,
        exact_epoch, n_rows, procedure, verdict, note`. The verdict stands beside the method that
        it is about.

        Raises:
            ImportError: without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "to_dataframe() needs pandas: pip install 'keras_importance[pandas]'."
            ) from error
        states = {(one.method, one.epoch): one.states for one in self.judged}
        tables = [
            pd.DataFrame(_columns(one, states.get((one.method, one.epoch)))).sort_values("rank")
            for one in self.results
        ]
        if not tables:
            return pd.DataFrame(columns=list(_COLUMNS))
        return pd.concat(tables, ignore_index=True)

    def drift(self) -> tuple[Drift, ...]:
        """How far the importances moved from each evaluation to the next one of the same method.

        `spearman`: rank correlation over the features whose interval lies above 0 in either of the
        two evaluations; over all features it would follow the noise of the useless ones.
        `jensen_shannon`: divergence in bits of the positive importances as shares of their sum.
        `top_k_overlap`: what the k largest have in common, k a third of the features and 10 at most.
        A measure that is undefined for a pair of evaluations is NaN. Features that weren't scored
        exactly in both take no part.

        `Drift.floor` is what the measure would be, in 19 of 20 cases at most, if nothing had changed but
        the noise of the rows: the errors of both evaluations are drawn with the same random signs of
        the rows, and so move together as far as the evaluations do. Below the error of one evaluation
        nothing counts as drift, even where the rows are the same and show it. NaN without draws of
        the errors, as for gradient importance, which keeps sums over the rows and nothing of each.

        Source: van der Vaart & Wellner (1996), ch. 2.9, for the multipliers.
        """
        return tuple(
            drift
            for method in self.methods
            for step in steps(self.of(method).results)
            for drift in step.drifts()
        )

    def movers(
        self, method: str | None = None, *, alpha: float = 0.05, min_share: float = 0.01
    ) -> tuple[Mover, ...]:
        """The features whose importance changed from one evaluation to the next by more than noise.

        The change is held to its own error, which is smaller than that of the importances where both
        evaluations score the same rows: `z = change / std_error` beyond the two-sided quantile at
        `alpha / n_features`, so that without a change hardly any feature is named in a step.

        Args:
            method: name of the method; None for all.
            alpha: chance that a step without a change names any feature.
            min_share: smaller changes, as a share of what the model explains at all, are left out:
                training moves every weight a little. As for `UselessFeatureDetector`.
        """
        return tuple(
            mover
            for name in (self.methods if method is None else (method,))
            for step in steps(self.of(name).results)
            for mover in step.movers(alpha, min_share)
        )

    def stable_since(self, method: str | None = None) -> int | None:
        """The epoch from which on the importances have been stable; None if they aren't.

        Stable: for three steps at least, up to now, the Jensen-Shannon divergence stays within its
        floor, from each evaluation to the next and from the first one to each.

        Args:
            method: name of the method; None for all that have floors.
        """
        with_draws = [name for name, one in self.newest.items() if one.draws is not None]
        names = with_draws if method is None else [method]
        since = [Stability.of(results).since for name in names if (results := self.of(name).results)]
        known = [epoch for epoch in since if epoch is not None]
        return max(known) if known and len(known) == len(since) else None

    def to_html(self, path: str | os.PathLike[str], *, title: str = "Feature importance") -> None:
        """Writes a page that needs no other file: pictures, tables and verdicts of each method.

        Args:
            path: the file, such as `"importance.html"`; its folder must exist.
            title: what stands at the top.
        """
        with _whole_or_not_at_all(_in_a_folder(path, "to_html")) as file:
            file.write(html.page(self, title).encode())

    def _repr_html_(self) -> str:
        """What a notebook shows: the newest results."""
        return html.table(self)

    def save(self, path: str | os.PathLike[str], *, compressed: bool = True) -> None:
        """Writes the history to one file, whole or not at all: a NumPy archive without pickles.

        Args:
            path: the file, such as `"history.npz"`; its folder must exist.
            compressed: False for a larger file that is written faster, of 1,000 features ten times.
        """
        arrays: dict[str, Any] = {}
        headers = []
        target = _in_a_folder(path, "save")
        for number, one in enumerate(self.results):
            headers.append({name: _plain(getattr(one, name)) for name in _HEADER})
            for name in _ARRAYS:
                if getattr(one, name) is not None:
                    arrays[f"{number}/{name}"] = getattr(one, name)
            if one.explained is not None:
                headers[-1]["explained"] = _plain_parts(one.explained, f"{number}/explained", arrays)
        judged = [
            _plain_parts(one, f"verdicts/{number}", arrays) for number, one in enumerate(self.judged)
        ]
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "results": headers,
            "verdicts": judged,
            "arrays": sorted(arrays),
        }
        arrays["header"] = np.array(json.dumps(header).encode())
        with _whole_or_not_at_all(target) as file:
            (np.savez_compressed if compressed else np.savez)(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ImportanceHistory:
        """Reads what `save` wrote; never runs code that a file brings along.

        Raises:
            FileNotFoundError: without such a file.
            ValueError: for a file that is damaged or was not written by `save`.
        """
        content = Path(path).read_bytes()
        with speaking_as("ImportanceHistory.load"):
            try:
                return cls(*_read(content))
            except _LaterVersionError as error:
                raise InvalidArgumentError(
                    f"got {os.fspath(path)!r}, which a later version of keras_importance wrote "
                    f"({error}). Update keras_importance."
                ) from error
            except Exception as error:
                # NumPy and zipfile raise about everything at bytes that aren't theirs.
                raise InvalidArgumentError(
                    f"got {os.fspath(path)!r}, which is {_kind_of(content)} ({reason_of(error)}). Pass "
                    "a file that ImportanceHistory.save wrote."
                ) from error


_ARRAYS = (
    "importances", "std_error", "direction", "by_step", "exact_epoch", "n_rows", "degrees",
    "baseline_score", "draws",
)  # fmt: skip
_HEADER = (
    "method", "epoch", "feature_names", "metric", "n_samples", "error_source", "notes",
    "obtained", "n_blocks", "procedure",
)  # fmt: skip
_COLUMNS = (
    "epoch", "method", "feature", "importance", "std_error", "ci_low", "ci_high", "rank",
    "importance_std", "direction", "metric", "baseline_score", "n_samples", "error_source",
    "obtained", "exact_epoch", "n_rows", "procedure", "verdict", "note",
)  # fmt: skip


def _columns(one: ImportanceResult, states: tuple[str, ...] | None) -> dict[str, Any]:
    n_features = len(one.feature_names)
    values = (
        one.epoch, one.method, one.feature_names, one.importances_mean, one.std_error, one.ci_low,
        one.ci_high, one.rank, one.importances_std,
        np.full(n_features, math.nan) if one.direction is None else one.direction,
        one.metric, one.baseline_score, one.n_samples, one.error_source, one.obtained, one.exact_epoch,
        one.n_rows, one.procedure, states or ("",) * n_features,
        [one.notes.get(name, "") for name in one.feature_names],
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))


def _in_a_folder(path: str | os.PathLike[str], method: str) -> Path:
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"ImportanceHistory.{method} got {os.fspath(path)!r}, whose folder does not exist. Make it "
            "first."
        )
    return target


@contextmanager
def _whole_or_not_at_all(target: Path) -> Iterator[IO[bytes]]:
    """A file beside the target, which takes its place when all is written."""
    scratch = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with scratch.open("wb") as file:
            yield file
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _read_only(values: Any, dtype: Any = np.float64) -> NDArray[Any]:
    copy = np.array(values, dtype)
    copy.setflags(write=False)
    return copy


def _merged(old: Iterable[_Dated], new: Iterable[_Dated]) -> tuple[_Dated, ...]:
    """All of them by epoch; of two for the same method and epoch the newer."""
    merged: dict[tuple[str, int | None], _Dated] = {(one.method, one.epoch): one for one in (*old, *new)}
    return tuple(sorted(merged.values(), key=_epoch_of))


def _epoch_of(one: ImportanceResult | Verdicts) -> float:
    return math.inf if one.epoch is None else one.epoch


def _plain(value: Any) -> Any:
    """The value as JSON knows it."""
    return dict(value) if isinstance(value, Mapping) else value


def _plain_parts(value: Any, place: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass as JSON knows them; its arrays are put into `arrays`."""
    plain = {}
    for one in fields(value):
        part = getattr(value, one.name)
        if isinstance(part, np.ndarray):
            arrays[f"{place}/{one.name}"] = part
        else:
            plain[one.name] = _plain(part)
    return plain


def _from_parts(kind: type[_Kind], plain: dict[str, Any], place: str, archive: Any) -> _Kind:
    """The dataclass that `_plain_parts` took apart."""
    stored = {
        name.removeprefix(f"{place}/"): archive[name] for name in archive if name.startswith(f"{place}/")
    }
    return kind(**plain, **stored)


class _LaterVersionError(Exception):
    """A file of a version that this one doesn't know."""


def _read(content: bytes) -> tuple[tuple[ImportanceResult, ...], tuple[Verdicts, ...]]:
    """The results and verdicts in the bytes of a file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        header = json.loads(archive["header"].item())
        if header["format"] != _FORMAT:
            raise ValueError(f"it says {header['format']!r}")
        if header["version"] > _VERSION:
            raise _LaterVersionError(f"file version {header['version']}, and this one reads {_VERSION}")
        if header["version"] != _VERSION:
            raise ValueError(f"it has file version {header['version']}, and {_VERSION} is read")
        # A few changed bytes can hide an array from an archive that is otherwise sound.
        if "arrays" in header and set(header["arrays"]) != set(archive) - {"header"}:
            raise ValueError("arrays are missing")
        results = [_result_from(archive, *numbered) for numbered in enumerate(header["results"])]
        judged = [
            _from_parts(Verdicts, parts, f"verdicts/{number}", archive)
            for number, parts in enumerate(header["verdicts"])
        ]
    return tuple(results), tuple(judged)


def _kind_of(content: bytes) -> str:
    """What a file is that could not be read."""
    if not content:
        return "empty"
    if content.startswith(b"\x80"):
        return "a pickle, which could hold code and is not loaded"
    if content.startswith(b"\x93NUMPY"):
        return "a single NumPy array"
    if not content.startswith(b"PK"):
        return f"no NumPy archive: it begins with {content[:12]!r}"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except Exception:  # noqa: BLE001 (it is damaged, which is what there is to say)
        return "a damaged archive"
    if "header.npy" in names:
        return "a damaged history"
    return f"an archive of something else: {', '.join(map(repr, names[:3])) or 'nothing'}"


def _result_from(archive: Any, number: int, header: dict[str, Any]) -> ImportanceResult:
    arrays = {name: archive[f"{number}/{name}"] for name in _ARRAYS if f"{number}/{name}" in archive}
    score = float(arrays.pop("baseline_score"))
    explained = header.pop("explained", None)
    if explained is not None:
        explained = _from_parts(Explained, explained, f"{number}/explained", archive)
    return ImportanceResult(**header, **arrays, baseline_score=score, explained=explained)

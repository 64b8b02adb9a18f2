"""What a training's evaluations took, how exact they are, and what limits them, in one line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from keras_importance.results.result import ImportanceResult


@dataclass(frozen=True)
class TrainingCost:
    """What the evaluations of a training took so far.

    Attributes:
        n_rows: how many validation rows there are to evaluate on.
        time_budget: the fraction of the epochs' time that evaluations may take; None for no limit.
        n_epochs: epochs that have ended.
        n_evaluations: how many of them were evaluated.
        seconds: seconds of all evaluations, without compilation.
        compile_seconds: seconds of compilation.
        epoch_seconds: seconds of the epochs themselves.
    """

    n_rows: int
    time_budget: float | None
    n_epochs: int = 0
    n_evaluations: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    epoch_seconds: float = 0.0

    def after_epoch(self, seconds: float) -> TrainingCost:
        """With an epoch more that took so many seconds."""
        return replace(self, n_epochs=self.n_epochs + 1, epoch_seconds=self.epoch_seconds + seconds)

    def after_evaluation(self, seconds: float, compile_seconds: float) -> TrainingCost:
        """With an evaluation more that took so many seconds, and so many to compile."""
        return replace(
            self,
            n_evaluations=self.n_evaluations + 1,
            seconds=self.seconds + seconds,
            compile_seconds=self.compile_seconds + compile_seconds,
        )


def summary_line(cost: TrainingCost, results: Iterable[ImportanceResult]) -> str:
    """How many epochs were evaluated, what it took, how exact the newest results are, what limits them.

    Args:
        cost: what the evaluations took.
        results: the newest result of each method.
    """
    results = list(results)
    took = f"{cost.seconds:.2g} s"
    if cost.epoch_seconds > 0:
        took += f", {cost.seconds / cost.epoch_seconds:.1%} of the epochs' {cost.epoch_seconds:.3g} s"
    if cost.compile_seconds > 0:
        took += f", and {cost.compile_seconds:.2g} s to compile"
    exactness = "; ".join(_exactness(result, cost.n_rows) for result in results)
    return (
        f"{cost.n_evaluations} of {cost.n_epochs} epochs evaluated in {took}. "
        f"{exactness}. {_limit(cost, results)}"
    )


def _exactness(result: ImportanceResult, n_rows: int) -> str:
    rows = f"{result.n_samples:,} of {n_rows:,} rows" if result.n_samples < n_rows else "all rows"
    parts = [rows]
    if result.n_repeats > 1:
        parts.append(f"{result.n_repeats} repeats")
    n_exact, n_features = result.obtained.count("exact"), len(result.feature_names)
    if n_exact < n_features:
        parts.append(f"{n_exact} of {n_features} features exact, the others approximated")
    return f"{result.method}: {', '.join(parts)}"


def _limit(cost: TrainingCost, results: Iterable[ImportanceResult]) -> str:
    is_cut = any(
        result.n_samples < cost.n_rows or result.obtained.count("exact") < len(result.obtained)
        for result in results
    )
    if cost.time_budget is None or not is_cut:
        return "Nothing limits it."
    return f"time_budget={cost.time_budget:g} limits it; None has no limit."

"""One more evaluation costs the same however many came before: counted by the earlier facts looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.results.typical_errors import TypicalErrors
from keras_importance.results.verdict import Verdicts
from keras_importance.verdicts.useless_set import in_order

NAMES = ("a", "b", "c")
METHODS = ("gradient", "permutation")


class Counted(ImportanceResult):
    """A result that counts how often its method or epoch is asked for."""

    n_looks = 0

    def __getattribute__(self, name: str) -> Any:
        if name in ("method", "epoch", "std_error"):
            Counted.n_looks += 1
        return super().__getattribute__(name)


def result(epoch: int | None, method: str = "permutation") -> ImportanceResult:
    values = np.random.default_rng(epoch).normal(size=3)
    return Counted(
        method=method,
        epoch=epoch,
        feature_names=NAMES,
        importances=values[:, None],
        std_error=np.abs(values) + 0.1,
        obtained=("exact",) * 3,
        metric="loss",
        baseline_score=1.0,
        n_samples=10,
    )


def verdicts(epoch: int) -> Verdicts:
    return Verdicts.undecided(epoch, "permutation", NAMES, "too early")


def history_of(n_epochs: int) -> ImportanceHistory:
    history = ImportanceHistory()
    for epoch in range(n_epochs):
        history += [result(epoch, method) for method in METHODS]
        history += verdicts(epoch)
        in_order(np.arange(3), history.of("permutation"))
    return history


def adding(history: ImportanceHistory, epoch: int) -> Any:
    longer = history + [result(epoch, method) for method in METHODS]
    return longer + verdicts(epoch)


STEPS: dict[str, Callable[[ImportanceHistory, int], Any]] = {
    "adding": adding,
    "newest": lambda history, epoch: adding(history, epoch).newest,
    "epochs": lambda history, epoch: adding(history, epoch).epochs,
    "of": lambda history, epoch: adding(history, epoch).of("gradient").results[-2:],
    "verdicts before": lambda history, epoch: history.verdicts_before(verdicts(epoch)),
    "order of features": lambda history, epoch: in_order(
        np.arange(3), adding(history, epoch).of("permutation")
    ),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_an_evaluation_looks_at_as_many_facts_in_a_long_history_as_in_a_short_one(
    step: Callable[[ImportanceHistory, int], Any],
) -> None:
    looks = []
    for n_epochs in (20, 400):
        history = history_of(n_epochs)
        Counted.n_looks = 0
        step(history, n_epochs)
        looks.append(Counted.n_looks)
    assert looks[0] == looks[1]


@pytest.mark.parametrize("n_epochs", [20, 400])
def test_one_epoch_is_found_without_a_look_at_all(n_epochs: int) -> None:
    """A binary search looks at about the logarithm of the number of facts."""
    history = history_of(n_epochs)
    Counted.n_looks = 0
    found = history.at(n_epochs - 1)
    assert [fact.epoch for fact in (*found.results, *found.judged)] == [n_epochs - 1] * 3
    assert Counted.n_looks <= 4 * np.log2(4 * n_epochs)


def same(ours: ImportanceHistory, expected: ImportanceHistory) -> bool:
    return (ours.results, ours.judged) == (expected.results, expected.judged)


def test_what_is_known_of_a_growing_history_is_what_a_new_one_would_find() -> None:
    facts: list[Any] = [
        *(result(0, method) for method in METHODS),
        verdicts(0),
        result(2),
        result(1, "gradient"),  # an earlier epoch
        result(2),  # replaces
        result(None, "ablation"),
        result(3),
        verdicts(3),
        verdicts(3),
    ]
    growing = ImportanceHistory()
    for fact in facts:
        growing += fact
        _ = growing.of("permutation").typical_errors if growing.of("permutation").results else None
        new = ImportanceHistory(growing.results, growing.judged)
        assert growing.newest == new.newest
        assert list(growing.newest) == list(new.newest)
        assert growing.epochs == new.epochs
        for method in (*METHODS, "ablation", "unknown"):
            assert same(growing.of(method), new.of(method))
            ours, expected = growing.of(method).typical_errors, TypicalErrors.of(new.of(method).results)
            np.testing.assert_allclose(ours.log_size, expected.log_size)
        for epoch in range(5):
            earlier, at = growing.before(epoch), growing.at(epoch)
            parts = ImportanceHistory(earlier.results + at.results, earlier.judged + at.judged)
            assert same(parts, growing.before(epoch + 1))
            assert {fact.epoch for fact in (*at.results, *at.judged)} <= {epoch}


def test_typical_errors_are_geometric_means() -> None:
    """exp(mean(log e)) over known errors; -inf where none is known."""
    history = ImportanceHistory() + [result(0), result(1)]
    errors = np.array([fact.std_error for fact in history])
    np.testing.assert_allclose(
        np.exp(history.typical_errors.log_size), np.sqrt(errors[0] * errors[1]), rtol=1e-12
    )
    unknown = ImportanceHistory() + Counted(**{**vars(result(0)), "std_error": np.full(3, np.nan)})
    assert np.all(unknown.typical_errors.log_size == -np.inf)

"""Importances of a situation beside a loop round `model.evaluate` over the same donors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from models.donors_by_hand import donors_of
from models.situations import Rows, Situation

from keras_importance import (
    FeatureImportance,
    ImportanceResult,
    ImportanceWarning,
    PermutationImportance,
    compute_importance,
)

TOLERANCE = 1e-4
"""Share of the largest importance by which ours may differ where the donors are the same."""
NOISE = 0.3
"""The same where only the law of the donors is the same."""
N_REPEATS = 3
N_SHUFFLES = 12
EXPECTED_WARNINGS = ("validation rows for",)


class Recording(PermutationImportance):
    """Permutation importance that remembers the evaluator it was given."""

    evaluator: Any = None

    def replacement_for(self, evaluator: Any) -> Any:
        self.evaluator = evaluator
        return super().replacement_for(evaluator)


@dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Attributes:
        says: `"right"`, `"reason"` (instead of a number), `"Keras refuses"`, or what is wrong: `"WRONG"`,
            `"REFUSED"`, `"TRAINING"` (it ended in other weights), `"SILENT"` (no number and no reason).
        text: the reason, or what is wrong.
        expected: what it should say.
    """

    says: str
    text: str = ""
    expected: str = "right"

    @property
    def is_fine(self) -> bool:
        return self.says == self.expected

    def __str__(self) -> str:
        return self.says if not self.text else f"{self.says}: {self.text}"


def in_training(situation: Situation) -> Cell:
    """What the callback says in a `fit`, whose weights and history are those of a `fit` without it."""
    return replace(_in_training(situation), expected=situation.expected)


def _in_training(situation: Situation) -> Cell:
    try:
        plain = trained(situation, [])
    except Exception as error:  # noqa: BLE001 (as below)
        return Cell("Keras refuses", _in_short(error))
    method = Recording(N_REPEATS)
    importance = FeatureImportance(
        methods=["gradient", method], metric=situation.metric, time_budget=None, verbose=0
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ImportanceWarning)
        try:
            found = trained(situation, [importance])
        except Exception as error:  # noqa: BLE001 (whatever stops a training is what the table is about)
            return Cell("REFUSED", _in_short(error))
    try:
        np.testing.assert_equal(found.state, plain.state)
    except AssertionError as error:
        return Cell("TRAINING", _in_short(error))
    said = [
        str(one.message)
        for one in told
        if issubclass(one.category, ImportanceWarning)
        and not any(text in str(one.message) for text in EXPECTED_WARNINGS)
    ]
    result = importance.results.get(method.name)
    if result is None:
        return Cell("reason", said[0]) if said else Cell("SILENT", "no result")
    return compared(found.model, found.rows, situation, result, method, said)


def of_model(model: Any, rows: Rows, situation: Situation, by_hand: Any = None) -> Cell:
    """What `compute_importance` says of a model and rows; `by_hand` spares the loop."""
    method = Recording(N_REPEATS)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ImportanceWarning)
        try:
            found = compute_importance(model, rows.as_tuple(), methods=[method], metric=situation.metric)
        except Exception as error:  # noqa: BLE001 (as above)
            return Cell("REFUSED", _in_short(error))
    said = [str(one.message) for one in told if issubclass(one.category, ImportanceWarning)]
    return compared(model, rows, situation, found[method.name], method, said, by_hand)


def compared(
    model: Any,
    rows: Rows,
    situation: Situation,
    result: ImportanceResult,
    method: Recording,
    said: list[str],
    by_hand: Any = None,
) -> Cell:
    """The result beside the loop, or its reason where it holds no number."""
    means = np.asarray(result.importances_mean, np.float64)
    if np.isnan(means).all():
        reasons = [*result.notes.values(), *said]
        return Cell("reason", _first_line(reasons[0])) if reasons else Cell("SILENT", "all NaN")
    try:
        expected = by_hand or loop(model, rows, method.evaluator, has_padding=situation.has_padding)
    except Exception as error:  # noqa: BLE001 (what Keras itself doesn't take has no right value)
        return Cell("WRONG", f"Keras itself fails: {_in_short(error)}")
    if situation.logged not in expected:
        return Cell("WRONG", f"evaluate logs {sorted(expected)}, not {situation.logged!r}")
    right = situation.worse_is * np.asarray(expected[situation.logged])
    return agreement(means, right, situation)


def agreement(ours: Any, right: Any, situation: Situation) -> Cell:
    """Whether both agree, as a share of the largest."""
    factor = float(ours @ right / max(right @ right, 1e-30)) if situation.is_scaled_freely else 1.0
    if situation.is_scaled_freely and factor <= 0:
        factor = 1.0
    largest = float(np.abs(right).max())
    off = float(np.abs(ours / factor - right).max()) / max(largest, 1e-12)
    both = f"{np.array2string(ours, precision=4)} by hand {np.array2string(right, precision=4)}"
    if not largest > 1e-6:
        return Cell("WRONG", f"a situation in which nothing matters: {both}")
    tolerance = NOISE if situation.has_padding else TOLERANCE
    if off <= tolerance:
        return Cell("right", "" if abs(factor - 1) < tolerance else f"{factor:.4g} times Keras'")
    return Cell("WRONG", f"off by {off:.1e}: {both}")


# --- the loop -----------------------------------------------------------------------------------------


def loop(model: Any, rows: Rows, evaluator: Any, *, has_padding: bool = False) -> dict[str, list[float]]:
    """For each score of `model.evaluate`, by how much each feature raises it when it is replaced."""
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(rows.x)]
    kept = positions(leaves[0], np.asarray(evaluator.data.inputs[0]))
    leaves, y, weights = [leaf[kept] for leaf in leaves], _only(rows.y, kept), _only(rows.weights, kept)
    weights = _of_mean_1(weights)

    def scores(given: list[Any]) -> dict[str, float]:
        x = keras.tree.pack_sequence_as(rows.x, given)
        return {
            name: float(np.mean(keras.ops.convert_to_numpy(value)))
            for name, value in model.evaluate(
                x, y, sample_weight=weights, batch_size=len(kept), verbose=0, return_dict=True
            ).items()
        }

    plain = scores(leaves)
    features = evaluator.features.features
    if has_padding:
        donors = [_donors_of_equal_length(leaves[0])] * len(features)
    else:
        donors = donors_of(features, evaluator.data.inputs, N_REPEATS, evaluator.seed)
    found: dict[str, list[float]] = {name: [] for name in plain}
    for feature, of_feature in zip(features, donors, strict=True):
        rises: dict[str, list[float]] = {name: [] for name in plain}
        for of_rows in of_feature:
            moved = [leaf.copy() for leaf in leaves]
            for place, column in feature.columns:
                at = ... if leaves[place].ndim == 1 else (..., column)
                moved[place][at] = leaves[place][of_rows][at]
            for name, value in scores(moved).items():
                rises[name].append(value - plain[name])
        for name, values in rises.items():
            found[name].append(float(np.mean(values)))
    return found


def positions(all_rows: Any, some_rows: Any) -> Any:
    """The positions of some rows among all; rows of the sample stand in the order of the data."""
    where: dict[bytes, list[int]] = {}
    for index, row in enumerate(all_rows.astype(some_rows.dtype)):
        where.setdefault(row.tobytes(), []).append(index)
    return np.array([where[row.tobytes()].pop(0) for row in some_rows])


def _donors_of_equal_length(leaf: Any) -> Any:
    """`(n_shuffles, n_rows)` donors with as many steps that aren't padding, all zeros, as the row."""
    steps = leaf if leaf.ndim == 3 else leaf[..., None]
    lengths = np.any(steps != 0, axis=2).sum(axis=1)
    rng = np.random.default_rng(3)
    donors = np.tile(np.arange(len(leaf)), (N_SHUFFLES, 1))
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        for of_rows in donors:
            of_rows[same] = rng.permutation(same)
    return donors


def _only(nest: Any, kept: Any) -> Any:
    if nest is None:
        return None
    return keras.tree.map_structure(lambda leaf: None if leaf is None else np.asarray(leaf)[kept], nest)


def _of_mean_1(weights: Any) -> Any:
    """Weights divided by the mean of them all, so that those of several outputs keep their relations."""
    if weights is None:
        return None
    leaves = [leaf for leaf in keras.tree.flatten(weights) if leaf is not None]
    mean = float(np.mean([np.mean(leaf) for leaf in leaves]))
    return keras.tree.map_structure(lambda leaf: None if leaf is None else leaf / mean, weights)


# --- a training ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """A trained model, its rows, and what the training leaves behind."""

    model: Any
    rows: Rows
    state: dict[str, Any]


def trained(situation: Situation, callbacks: list[Any]) -> Trained:
    """A training of two epochs from a fixed start."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model, rows = situation.make()
    history = model.fit(
        rows.x,
        rows.y,
        sample_weight=rows.weights,
        validation_data=rows.as_tuple() if rows.y is not None else (rows.x, None),
        epochs=2,
        batch_size=40,
        verbose=0,
        callbacks=callbacks,
        **situation.fit,
    ).history
    variables = {
        "variables": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    state = {
        name: [keras.ops.convert_to_numpy(variable) for variable in of_kind]
        for name, of_kind in variables.items()
    }
    return Trained(model, rows, {"history": history, **state})


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {_first_line(str(error))}"


def _first_line(text: str) -> str:
    return " ".join(str(text).split())[:300]

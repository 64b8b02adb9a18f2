"""Scores of the model's own predictions for rows in which one feature is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_importance.engine.backends.backend import Inference
from keras_importance.engine.cut.cut import Cut, cuts, whole_model
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.cut_scorer import CutScorer
from keras_importance.engine.scores.programs import columns_of, outputs, prepared
from keras_importance.engine.scores.sample import Block, FeatureScores, Sample, Slots, Values
from keras_importance.statistics.arrays import Array, Integers

_CHECKED_ROWS = 8
_CHECKED_FEATURES = 8
_TOLERANCE = 1e-4


class Scorer:
    """Scores rows with one feature replaced; only the layers behind a cut of the model are run anew.

    Args:
        context: the model, rows, features and metric.
        cut_scorer: the class that scores the features of one cut, `(context, cut, prepare)`.
    """

    def __init__(
        self, context: ScoringContext, cut_scorer: Callable[..., CutScorer] = CutScorer
    ) -> None:
        self._compiler = context.compiler
        self._data = context.data
        self._inputs = context.device_data.inputs
        self._features = context.features
        # They depend on the model alone, so all scorers of a training share them.
        sound: list[Cut] = context.once("sound cuts", self._sound_cuts)
        self._cut_scorers = [cut_scorer(context, cut, partial(prepared, cut)) for cut in sound]

    def perturbed(self, sample: Sample, indices: Integers) -> Iterator[FeatureScores]:
        """Scores of the given features, a piece of them at a time, cut by cut."""
        for scorer in self._cut_scorers:
            yield from scorer.scored(sample, indices)

    @property
    def seconds_per_score(self) -> float:
        """Planned seconds for one row of one (feature, repeat) pair; the mean over all features."""
        seconds = [scorer.seconds_per_score for scorer in self._cut_scorers]
        weights = [len(scorer.features) for scorer in self._cut_scorers]
        return float(np.average(seconds, weights=weights))

    # --- the cuts -------------------------------------------------------------------------------

    def _sound_cuts(self) -> list[Cut]:
        """The cuts whose outputs agree with the whole model; other features get the whole model."""
        whole = whole_model(self._compiler.model, self._data, self._features)
        every = cuts(self._compiler.model, self._data, self._features)
        sound = [cut for cut in every if cut.is_whole or self._agrees(cut)]
        others = tuple(feature for cut in every if cut not in sound for feature in cut.features)
        return [*sound, replace(whole, features=others)] if others else sound

    def _agrees(self, cut: Cut) -> bool:
        """Whether a cut gives the outputs of the whole model, for a few rows and features.

        This guards against layers that no rule foresees: random ones, or ones that don't compute what
        their type says.
        """
        n_rows, n_features = self._data.n_rows, len(self._features)
        rows = np.arange(min(_CHECKED_ROWS, n_rows), dtype=np.int32)
        donors = ((rows + 1 + n_rows // 2) % n_rows)[None].astype(np.int32)
        some = np.unique(np.linspace(0, len(cut.features) - 1, _CHECKED_FEATURES).astype(int))
        feature = np.array([n_features, *np.array(cut.features)[some]], np.int32)
        columns, packing = columns_of(cut, cut.features, n_features), self._data.packing

        def both(
            call: Inference, values: Values, moved: list[Any], block: Block, slots: Slots
        ) -> tuple[Any, Any]:
            given = prepared(cut, call, values, block)
            return outputs(cut, columns, call, given, slots), call(packing(moved))

        on_device = self._compiler.on_device
        values = Values(self._inputs, self._inputs, None)
        moved = [on_device(leaf) for leaf in self._moved(rows, donors[0], feature.tolist())]
        block = Block(on_device(rows), on_device(donors))
        slots = Slots(on_device(feature), on_device(np.zeros(len(feature), np.int32)))
        try:
            ours, theirs = self._compiler(both, fuse=False)(values, moved, block, slots)
        except Exception:  # noqa: BLE001 (a model that can't be run in parts is run whole)
            return False
        if not _are_alike(ours, theirs):
            return False
        pairs = zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True)
        return all(_are_close(*map(keras.ops.convert_to_numpy, pair)) for pair in pairs)

    def _moved(self, rows: Array, donors: Array, indices: Sequence[int]) -> list[Array]:
        """Inputs `(n_indices * n_rows, ...)`: the rows once for each index, with its feature replaced.

        Args:
            rows: `(n_rows,)` indices of the rows.
            donors: `(n_rows,)` indices of the rows that the replacing values come from.
            indices: indices of the features; the number of features replaces nothing.
        """
        of_slots = [
            () if index == len(self._features) else self._features.features[index].columns
            for index in indices
        ]
        moved = [np.concatenate([leaf[rows]] * len(indices)) for leaf in self._data.inputs]
        for slot, columns in enumerate(of_slots):
            of_slot = slice(slot * len(rows), (slot + 1) * len(rows))
            for input_index, column_index in columns:
                leaf = self._data.inputs[input_index]
                column = ... if leaf.ndim == 1 else (..., column_index)
                moved[input_index][of_slot][column] = leaf[donors][column]
        return moved


def _are_alike(ours: Any, theirs: Any) -> bool:
    """Whether two nests have the same structure: the last layer of a Sequential may return any nest."""
    try:
        keras.tree.assert_same_structure(ours, theirs)
    except (TypeError, ValueError):
        return False
    return True


def _are_close(ours: Array, theirs: Array) -> bool:
    scale = np.max(np.abs(theirs), initial=0.0)
    return bool(np.all(np.abs(ours - theirs) <= _TOLERANCE * scale))

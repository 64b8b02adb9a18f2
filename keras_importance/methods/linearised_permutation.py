"""Linearised permutation importance: all features for the price of one backward pass."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.linearised import MAX_OUTPUTS
from keras_importance.engine.scores.sample import Replacement
from keras_importance.engine.scores.scoring import LINEARISED
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods.affordable_work import Work
from keras_importance.methods.differentiation import false_zeros
from keras_importance.methods.permutation import PermutationImportance
from keras_importance.results.scores import Scores


class LinearisedPermutation(PermutationImportance):
    """Permutation importance of the model's first-order approximation at each row.

        importance_j = mean_{i,k} [score(link(h(x_i) + dh/dx_j (x_donor,j - x_ij)), y_i)
                                   - score(f(x_i), y_i)]

    with `h` the output, or its logit where the loss takes it for a probability. Exact for a linear
    model; for others a cheap first look at wide data, which misses what a feature does only far from
    the rows. Costs one backward pass for each value of the output, whatever the number of features. A
    feature that enters as whole numbers has no gradient; it gets NaN and a note.

    The standard error and the interval are for the approximation, not for the permutation importance.

    Args:
        n_repeats: donors per row.
        name: name in results and tags.
    """

    name = "linearised_permutation"
    replaces_sets = False
    scoring = LINEARISED

    def check(self, evaluator: Evaluator) -> None:
        """Raises `InvalidArgumentError` as permutation does, and for very many outputs."""
        super().check(evaluator)
        n_outputs = evaluator.outputs.n_values if evaluator.model.built else 0
        if n_outputs > MAX_OUTPUTS:
            raise InvalidArgumentError(
                f"got {n_outputs} output values for {self.name!r}, which differentiates each "
                f"by itself and stops at {MAX_OUTPUTS}. Pass 'permutation' or 'gradient'."
            )

    def compute(self, evaluator: Evaluator, effort: Effort) -> Scores:
        """Scores the approximation; 0 for an input that the model ignores, a note where none exists."""
        started = evaluator.clock.now()
        scores = super().compute(evaluator, effort)
        importances, std_error = np.array(scores.importances), np.array(scores.std_error)
        notes = {}
        support = evaluator.gradient_support
        for index in np.flatnonzero(np.isnan(importances).any(axis=1)):
            feature = evaluator.features.features[index]
            reasons = [support.why_no_gradient(input_index) for input_index, _ in feature.columns]
            known = [reason for reason in reasons if reason is not None]
            if known:
                notes[feature.name] = known[0]
            else:
                importances[index], std_error[index] = 0.0, 0.0
        for wrong, reason in false_zeros(evaluator, importances).items():
            importances[wrong], std_error[wrong] = math.nan, math.nan
            notes[evaluator.features.names[wrong]] = reason
        evaluator.clock.note_rate(self.name, started, scores.n_samples or evaluator.data.n_rows)
        return replace(scores, importances=importances, std_error=std_error, notes=notes)

    def affordable_work(
        self,
        evaluator: Evaluator,
        replacement: Replacement,  # noqa: ARG002 (its cost is that of the backward passes)
        effort: Effort,
    ) -> Work:
        """All rows, or as many as the time budget pays for, going by the last evaluation."""
        n_rows = evaluator.affordable_data(self.name, effort).n_rows
        return Work(n_rows, self.n_repeats, len(evaluator.features))

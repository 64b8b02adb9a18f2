"""Linearised permutation importance: all features for the cost of one backward pass per output value."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.planned_work import affordable_data
from keras_importance.engine.scores.linearised import MAX_OUTPUTS
from keras_importance.engine.scores.scoring import LINEARISED
from keras_importance.errors import NotEvaluableError
from keras_importance.methods.affordable_work import Work
from keras_importance.methods.differentiation import WHY_MISSING, false_zeros, partial_gradients
from keras_importance.methods.permutation import PermutationImportance
from keras_importance.results.scores import Scores


class LinearisedPermutation(PermutationImportance):
    """Permutation importance of the model's first-order approximation around each row.

        importance_j = mean_{i,k} [score(link(h(x_i) + dh/dx_j (x_donor,j - x_ij)), y_i)
                                   - score(f(x_i), y_i)]

    over rows `i` and donors `k`. `h` is the output, and `link` the identity. If the loss takes the
    output for a probability, `h` is its logit and `link` turns it back into a probability. The
    importance is in units of the metric. It is exact for a linear model. For other models it is a cheap
    first look at wide data: it misses effects that a feature has only far from the rows. It costs one
    backward pass for each value of the output, however many features there are. An input of whole
    numbers has no gradient; its features get NaN and a note.

    The standard error and the interval are those of the approximation. They don't cover the distance to
    the exact permutation importance.

    Args:
        n_repeats: donors per row.
        name: name in results and tags.
    """

    name = "linearised_permutation"
    replaces_sets = False
    scoring = LINEARISED

    def check(self, evaluator: Evaluator) -> None:
        """Checks the same as permutation importance, and the number of output values.

        Raises:
            InvalidArgumentError: also for too many output values, as each needs a backward pass.
        """
        super().check(evaluator)
        n_outputs = evaluator.outputs.n_values if evaluator.model.built else 0
        if n_outputs > MAX_OUTPUTS:
            raise NotEvaluableError(
                f"got {n_outputs} output values for {self.name!r}, which differentiates each "
                f"by itself and stops at {MAX_OUTPUTS}. Pass 'permutation' or 'gradient'."
            )

    def compute(self, evaluator: Evaluator, effort: Effort) -> Scores:
        """Scores the features under the approximation.

        An ignored feature gets 0. A feature without a gradient gets NaN and a note that says why.
        """
        scores = super().compute(evaluator, effort)
        importances, std_error = np.array(scores.importances), np.array(scores.std_error)
        in_part = partial_gradients(evaluator)
        for name in in_part:
            position = evaluator.features.names.index(name)
            importances[position], std_error[position] = math.nan, math.nan
        notes = {**self.notes_of_few_rows(evaluator), **in_part}
        support, missing = evaluator.gradient_support, evaluator.data.missing
        for index in np.flatnonzero(np.isnan(importances).any(axis=1)):
            feature = evaluator.features.features[index]
            if feature.name in in_part:
                continue
            reasons = [support.why_no_gradient(input_index) for input_index, _ in feature.columns]
            known = [reason for reason in reasons if reason is not None]
            if any(column in missing for column in feature.columns):
                notes[feature.name] = WHY_MISSING
            elif known:
                notes[feature.name] = known[0]
            else:
                importances[index], std_error[index] = 0.0, 0.0
        for wrong, reason in false_zeros(evaluator, importances).items():
            importances[wrong], std_error[wrong] = math.nan, math.nan
            notes[evaluator.features.names[wrong]] = reason
        return replace(scores, importances=importances, std_error=std_error, notes=notes)

    def affordable_work(self, evaluator: Evaluator, effort: Effort) -> Work:
        """All rows, or as many as can be differentiated in `effort.seconds`."""
        n_rows = affordable_data(evaluator, evaluator.outputs.n_values, effort).n_rows
        return Work(n_rows, self.repeats_for(n_rows), len(evaluator.features))

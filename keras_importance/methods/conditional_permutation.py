"""Conditional permutation importance: the information in a feature that the other features lack."""

from __future__ import annotations

import math

from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.sample import Replacement
from keras_importance.engine.scores.scoring import EXACT
from keras_importance.errors import NotEvaluableError
from keras_importance.methods.perturbation import PerturbationMethod
from keras_importance.methods.redrawing import conditional_replacement

# A square matrix is inverted, with one row per data row or per value of a row, whichever is fewer. At
# this size that takes a minute.
_MAX_INVERTED = 6_000


class ConditionalPermutation(PerturbationMethod):
    """How much the metric worsens when a feature is redrawn from its distribution given the others.

        importance_j = E score(f(X with X_j redrawn given the others), Y) - E score(f(X), Y)

    The importance is in units of the metric. It is 0 for a feature that the network ignores. Unlike
    permutation importance, it is also 0 for a feature that adds nothing to what the others say about the
    target, such as a copy of another feature. For a correct linear model and squared error it is
    `2 b_j² Var(x_j | the others)`.

    **Numbers** are redrawn as their mean given the others plus the residual of a donor:

        x_ij <- x_ij - r_ij + c r_donor,j,      r = (x - mean(x | the others)) by a linear regression

    The regression is fitted once, on the validation inputs; the residual of a row comes from a fit
    without that row. The factor `c`, just below 1, corrects for the noise of the estimated mean. The
    redraw is exact if the means depend linearly on the other features and the residuals have the same
    spread everywhere. Otherwise any dependence left in the residual counts as the feature's own
    information. The regression of a group uses the features outside of it, and the group is redrawn as a
    whole. A feature of a sequence is redrawn as a whole trajectory, given the trajectories of the
    others.

    **Categories** are texts, columns that the model uses as codes, integers that it doesn't take as
    floats, and columns of 0 and 1 (with a residual added, a 0 could become 0.37). They are drawn anew
    for each repeat, from a multinomial logistic regression on the other features. If these have too
    many values, it uses the predictions of the linear regressions instead. If a group has such a column,
    a row of the drawn category gives it the values of all its columns of categories, so a one-hot group
    stays one-hot. The group's numbers get that row's residuals. Beyond 50 categories, or combinations of
    categories, neighbours in sorted order are merged into one class; within it, categories are drawn by
    their frequency. Values that never repeat, as in long sequences of integers, then depend little on
    the other features.
    **Padded steps** of sequences keep their values. The `k`-th valid step of a row gets the residual of
    its donor's `k`-th valid step. In the regressions a padded number is the mean of its step.
    **Donors** are spread evenly over the residuals of the feature, and the categories of a row's draws
    evenly over its probabilities, from random starts; see `Donors` and `PermutationImportance`.

    The standard error takes into account that each row is both scored and a donor. It holds for
    independent draws as well. It ignores that the regressions are estimated.

    Source: Strobl et al. (2008), BMC Bioinformatics 9:307; Candès et al. (2018), JRSS B 80(3), for the
    conditional draw; Chamma, Engemann & Thirion (2023), NeurIPS 36, for the residuals.

    Args:
        n_repeats: donors per row, or draws per row for categories.
        name: name in results and tags.
    """

    name = "conditional_permutation"
    replaces_sets = False  # each feature is redrawn given all others, a copy of it included

    def check(self, evaluator: Evaluator) -> None:
        """Checks the same as permutation importance, and the size of the regressions.

        Raises:
            InvalidArgumentError: also for more than 6,000 rows of more than 6,000 values each.
        """
        super().check(evaluator)
        n_rows, n_values = evaluator.data.n_rows, _values_in_row(evaluator.data)
        if min(n_rows, n_values) > _MAX_INVERTED:
            raise NotEvaluableError(
                f"got {n_rows} validation rows of {n_values} values for {self.name!r}, whose "
                f"regressions take more than {_MAX_INVERTED} of one or the other, not of both. Pass "
                f"max_samples={_MAX_INVERTED} or less."
            )

    def replacement(self, data: ValidationData) -> Replacement:
        """The replacement if each column is a feature of its own."""
        features = FeatureSet.from_argument(None, data.columns)
        return conditional_replacement(data, features, self.n_repeats)

    def replacement_for(self, evaluator: Evaluator) -> Replacement:
        """The replacement for the evaluator's features, fitted at the first evaluation and kept."""
        # The noise of a mean prediction is told from independent draws. Only categories are drawn.
        spread = self.scoring is EXACT and bool(evaluator.data.codes)
        return evaluator.once(
            ("conditional replacement", self.n_repeats, spread),
            lambda: conditional_replacement(
                evaluator.data, evaluator.features, self.n_repeats, evaluator.seed, spread=spread
            ),
        )


def _values_in_row(data: ValidationData) -> int:
    """How many values the inputs of one row hold: columns times time steps, over all inputs."""
    return sum(math.prod(values.shape[1:]) for values in data.inputs)

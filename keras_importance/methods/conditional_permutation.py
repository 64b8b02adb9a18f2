"""Conditional permutation importance: what a feature says that the others don't."""

from __future__ import annotations

import math

from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.sample import Replacement
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods.perturbation import PerturbationMethod
from keras_importance.methods.redrawing import conditional_replacement

# A square matrix of the size of the rows, or of their values if these are fewer, is inverted: a minute.
_MAX_INVERTED = 6_000


class ConditionalPermutation(PerturbationMethod):
    """How much the metric worsens when a feature takes values as likely, given the other features.

        importance_j = E score(f(X with X_j redrawn given the others), Y) - E score(f(X), Y)

    0 for a feature that the network ignores, and for one that says nothing about the target beyond what
    the others say, such as a copy of another; of permutation importance only the former holds. For a
    linear model and squared error it is `2 b_j² Var(x_j | the others)`. In units of the metric.

    **Numbers** are redrawn as their mean given the others plus the residual of a donor:

        x_ij <- x_ij - r_ij + c r_donor,j,      r = (x - mean(x | the others)) by a linear regression

    fitted once, on the validation inputs, for each row without that row; `c`, just below 1, makes up for
    the noise of the estimated mean. Right for features whose means depend linearly on one another, with
    residuals of one spread; where they don't, what is left in the residual counts as the feature's own.
    A group is given the features outside of it and moves as one, a feature of a sequence with its whole
    trajectory given the trajectories of the others.

    **Categories** are drawn anew for each repeat, from a multinomial logistic regression on the other
    features, or where these are many on what the linear regressions predict: columns of integers or
    strings, and columns of 0 and 1, of which a residual would make 0.37. A group with such a column
    takes the values of a row of the drawn category in all of them, so one-hot groups stay one-hot, and
    that row's residuals in the others. Beyond 50 categories (or combinations of them) neighbours in
    their order are drawn as one, and by their frequency within it; values that never repeat, as of long
    sequences of integers, depend little on the others then.

    The standard error counts that a row is both scored and a donor, and is right for independent draws
    as well; that the regressions are estimated, it leaves out.

    Source: Strobl et al. (2008), BMC Bioinformatics 9:307; Candès et al. (2018), JRSS B 80(3), for the
    conditional draw; Chamma, Engemann & Thirion (2023), NeurIPS 36, for the residuals.

    Args:
        n_repeats: donors, or draws, per row.
        name: name in results and tags.
    """

    name = "conditional_permutation"
    replaces_sets = False  # each feature is redrawn given all others, a copy of it included

    def check(self, evaluator: Evaluator) -> None:
        """Raises `InvalidArgumentError` as permutation does, and for many rows of as many values."""
        super().check(evaluator)
        n_rows, n_values = evaluator.data.n_rows, _values_in_row(evaluator.data)
        if min(n_rows, n_values) > _MAX_INVERTED:
            raise InvalidArgumentError(
                f"got {n_rows} validation rows of {n_values} values for {self.name!r}, whose "
                f"regressions take more than {_MAX_INVERTED} of one or the other, not of both. Pass "
                f"max_samples={_MAX_INVERTED} or less."
            )

    def replacement(self, data: ValidationData) -> Replacement:
        """The replacement where each column is a feature."""
        features = FeatureSet.from_argument(None, data.columns)
        return conditional_replacement(data, features, self.n_repeats)

    def replacement_for(self, evaluator: Evaluator) -> Replacement:
        """The replacement for the evaluator's features, fitted at the first evaluation."""
        return evaluator.once(
            ("conditional replacement", self.n_repeats),
            lambda: conditional_replacement(
                evaluator.data, evaluator.features, self.n_repeats, evaluator.seed
            ),
        )


def _values_in_row(data: ValidationData) -> int:
    return sum(math.prod(values.shape[1:]) for values in data.inputs)

"""Permutation importance: how much worse the model gets when a feature's values are shuffled."""

from __future__ import annotations

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.scores.sample import Replacement
from keras_importance.methods.perturbation import PerturbationMethod


class PermutationImportance(PerturbationMethod):
    """How much the metric worsens when a feature takes the values of other rows.

        importance_j = E score(f(X with X_j from another row), Y) - E score(f(X), Y)

    The importance is in units of the metric. It is 0 for a feature that the network ignores, and below 0
    only by chance or where the feature hurts. For a correct linear model and squared error it is
    `2 b_j² Var(x_j)`. If two features carry the same information, one of them may get all of the
    importance, both may, or they may share it. Shuffling one breaks its dependence on the others, so the
    model is run on inputs outside of their joint distribution.

    A row's donors are spread evenly over the feature's values, from a random start that is the same in
    every epoch; see `Donors`. No row is its own donor, and all rows donate equally often. So 3 donors
    have an error 2 to 9% above that of infinitely many, as 5 random ones would have 2 to 12%. Donors are
    random for padded sequences, and with fewer than 10 rows for each repeat. A feature of a sequence is
    replaced by the donor's whole trajectory, a group by all the donor's columns.

    Steps that the model masks are padding: they keep their values. A row's valid steps get the values of
    the donor's valid steps in their order, from the start again where the donor is shorter.

    The standard error takes into account that each row is both scored and a donor. The usual error bar,
    the standard deviation over repeats, ignores the noise of the validation rows, and its intervals
    cover the true value far too rarely.

    Source: Breiman (2001), Machine Learning 45; Fisher, Rudin & Dominici (2019), JMLR 20(177).

    Args:
        n_repeats: donors per row.
        name: name in results and tags.
    """

    name = "permutation"

    def replacement(self, data: ValidationData) -> Replacement:
        """A row keeps nothing of the feature and gets the donor's value."""
        return Replacement(donated=data.inputs)

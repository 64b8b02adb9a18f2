"""Permutation importance: how much worse the model gets when a feature's values are shuffled."""

from __future__ import annotations

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.scores.sample import Replacement
from keras_importance.methods.perturbation import PerturbationMethod


class PermutationImportance(PerturbationMethod):
    """How much the metric worsens when a feature takes the values of other rows.

        importance_j = E score(f(X with X_j from another row), Y) - E score(f(X), Y)

    0 for a feature that the network ignores; below 0 only by chance, or where the feature hurts. For a
    linear model and squared error it is `2 b_j² Var(x_j)`. Of two features that say the same it may
    be large for one, for both or shared: shuffling leaves the joint distribution of the inputs.

    A row's donor is its neighbour at a fixed distance in a seeded shuffle of the rows, so no row is
    its own donor, every row donates as often, and all features and epochs use the same donors. A
    feature of a sequence moves with its whole trajectory, a group with all its columns. The standard
    error counts that a row is both scored and a donor; std over repeats, the usual error bar, leaves
    out the noise of the validation rows and covers far too rarely.

    Source: Breiman (2001), Machine Learning 45; Fisher, Rudin & Dominici (2019), JMLR 20(177).

    Args:
        n_repeats: donors per row.
        name: name in results and tags.
    """

    name = "permutation"

    def replacement(self, data: ValidationData) -> Replacement:
        """The donor's value, whole."""
        return Replacement(donated=data.inputs)

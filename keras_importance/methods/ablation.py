"""Ablation: how much worse the model gets when a feature is set to its usual value."""

from __future__ import annotations

import numpy as np

from keras_importance.data.hidden_columns import usual_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.scores.sample import Replacement
from keras_importance.methods.perturbation import PerturbationMethod


class AblationImportance(PerturbationMethod):
    """How much the metric worsens when a feature has one neutral value in all rows.

        importance_j = E score(f(X with X_j its mean), Y) - E score(f(X), Y)

    The neutral value is the feature's mean over the validation rows (and time steps). For integers and
    texts it is the most frequent value. The importance is in units of the metric. It is 0 for a feature
    that the network ignores. For a correct linear model and squared error it is `b_j² Var(x_j)`, half of
    permutation importance. It is the cheapest of the methods that replace values: it needs one pass per
    feature and draws nothing at random.

    Ablation is not LOFO. The network isn't trained anew, and predicts from a value that it may never
    have seen. The mean of two clusters lies where there are no rows. The mean of one-hot columns is no
    category. Interactions with other features are measured at this single value only. Conditional LOFO
    answers the question of LOFO without a training.

    The standard error is computed from the rows' score differences. It ignores that the neutral value
    is estimated.

    Source: the neutral-value perturbation of Ancona et al. (2018), ICLR; "occlusion" for images.

    Args:
        name: name in results and tags.
    """

    name = "ablation"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(1, name=name)

    def replacement(self, data: ValidationData) -> Replacement:
        """The usual value, for all rows."""
        usual = (
            np.broadcast_to(usual_values(values, valid), values.shape)
            for values, valid in zip(data.inputs, data.valid, strict=True)
        )
        return Replacement(donated=(None,) * len(data.inputs), kept=tuple(usual))

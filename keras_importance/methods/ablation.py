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

    The neutral value is the feature's mean over the validation rows (and time steps), of integers and
    texts the most frequent value. 0 for a feature that the network ignores; for a linear model that is
    right and squared error it is `b_j² Var(x_j)`, half of permutation importance. In units of the
    metric. It is the cheapest of the methods that replace values: one pass a feature, nothing drawn.

    It is not LOFO: the network isn't trained anew, and leans on a value that it may never have seen. A
    mean of two clusters lies where no row does, the mean of one-hot columns is no category, and what a
    feature does only together with others is measured at that one value. Conditional LOFO answers the
    question of LOFO without a training.

    The standard error is that of the rows' differences; that the mean is estimated, it leaves out.

    Source: the neutral-value perturbation of Ancona et al. (2018), ICLR; "occlusion" for images.

    Args:
        name: name in results and tags.
    """

    name = "ablation"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(1, name=name)

    def replacement(self, data: ValidationData) -> Replacement:
        """The usual value, for all rows."""
        usual = (np.broadcast_to(usual_values(values), values.shape) for values in data.inputs)
        return Replacement(donated=(None,) * len(data.inputs), kept=tuple(usual))

"""Conditional LOFO: how much worse the metric gets without a feature, estimated without retraining."""

from __future__ import annotations

from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.averaged import MAX_HELD_VALUES
from keras_importance.engine.scores.scoring import AVERAGED
from keras_importance.errors import NotEvaluableError
from keras_importance.methods.conditional_permutation import ConditionalPermutation


class ConditionalLOFO(ConditionalPermutation):
    """How much the metric worsens when the trained model has to predict without a feature.

        importance_j = E score(E[f(X) given the other features], Y) - E score(f(X), Y)

    The prediction without the feature is the mean of the model's predictions over the values that the
    feature could have, given the others. The importance is in units of the metric. It is 0 for a feature
    that the network ignores, and for a feature that the others determine, such as a copy: put both into
    a group. It is below 0 if the model would be better without the feature, as for noise that it has
    fitted. For a linear model and squared error it is `b_j (2 c_j - b_j) Var(x_j | the others)`, with
    `c_j` the true slope. For a correct model that is half of conditional permutation importance.

    For a correct model it is the loss that a training without the feature would add. For any other model
    it is the loss that this model would add. A newly trained model might use the other features in ways
    that this one has not learnt.

    The mean is over the draws of `ConditionalPermutation`. Its noise, with so few draws, makes the score
    worse; `pseudo_values` corrects for that. For squared error the correction is exact. For log loss,
    absolute error and accuracy it removes most of the noise at 5 draws. It removes less at 2 draws, and
    for models that are confident and wrong. Use 20 draws for accuracy and for metrics of all rows at
    once, such as AUC. Each output is averaged by itself; probabilities are averaged, not their logits.
    Masked time steps are those of the untouched rows.

    The standard error takes into account that each row is both scored and a donor. It ignores that the
    regressions are estimated. It is right or somewhat too large. For a metric of all rows at once it
    covers the draws alone.

    It costs as much as conditional permutation importance, with ten classes twice as much.

    Source: Reyero Lobo, Neuvial & Thirion (2025), arXiv 2501.17520, where it is called Sobol-CPI.

    Args:
        n_repeats: draws per row, 2 or more.
        name: name in results and tags.

    Raises:
        ValueError: for fewer than 2 draws.
    """

    name = "conditional_lofo"
    scoring = AVERAGED
    min_repeats = 2
    screen_scale = 0.5  # for a correct model, conditional permutation is twice as large

    def __init__(self, n_repeats: int = 5, *, name: str | None = None) -> None:
        super().__init__(n_repeats, name=name)
        if self.n_repeats < 2:
            raise ValueError(
                f"{type(self).__name__} got n_repeats=1. Pass 2 or more: the mean of one prediction is "
                "that prediction."
            )

    def check(self, evaluator: Evaluator) -> None:
        """Checks the same as conditional permutation, and the memory for all predictions.

        Raises:
            InvalidArgumentError: also if rows x repeats x output values don't fit into memory.
        """
        super().check(evaluator)
        if not evaluator.model.built:
            return
        n_rows, n_outputs = evaluator.data.n_rows, evaluator.outputs.n_values
        most = MAX_HELD_VALUES // (self.n_repeats * n_outputs)
        if n_rows > most:
            raise NotEvaluableError(
                f"got {n_rows} validation rows of {n_outputs} output values for {self.name!r}, which "
                f"holds those of {self.n_repeats} repeats in memory. Pass max_samples={most} or less."
            )

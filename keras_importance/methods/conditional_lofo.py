"""Conditional LOFO: what the metric loses without a feature, estimated without training anew."""

from __future__ import annotations

from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.averaged import MAX_HELD_VALUES
from keras_importance.engine.scores.scoring import AVERAGED
from keras_importance.errors import InvalidArgumentError
from keras_importance.methods.conditional_permutation import ConditionalPermutation


class ConditionalLOFO(ConditionalPermutation):
    """How much the metric worsens when the model has to do without a feature, with no other training.

        importance_j = E score(E[f(X) given the other features], Y) - E score(f(X), Y)

    Without the feature the model predicts its mean over the values that the feature could have, given
    the others. 0 for a feature that the network ignores, and for one that the others determine, such as
    a copy: put both into a group. Below 0 where the model would be better without, as for noise that it
    has fitted. For a linear model and squared error it is `b_j (2 c_j - b_j) Var(x_j | the others)`,
    with `c_j` the true slope: half of conditional permutation where the model is right. In units of the
    metric.

    It is what a training without the feature would lose where the model is right. Of another model it
    is what that model would lose: a new one could put the others to uses that this one has not found.

    The mean is over the draws of `ConditionalPermutation`, and what the noise of so few adds to the
    score is taken away (see `pseudo_values`): all of it for squared error, and for log loss, absolute
    error and accuracy most of it at 5 draws, less at 2 and of models that are sure of what they get
    wrong. Accuracy and metrics of all rows at once, such as AUC, deserve 20. Outputs are averaged each
    by itself, probabilities as such; masked steps are those of the untouched rows.

    The standard error counts that a row is both scored and a donor, and leaves out that the regressions
    are estimated; it is right or somewhat too large. For a metric of all rows at once it is that of the
    draws alone.

    Costs what conditional permutation does, with ten classes twice as much.

    Source: Reyero Lobo, Neuvial & Thirion (2025), arXiv 2501.17520, where it is called Sobol-CPI.

    Args:
        n_repeats: draws per row, 2 or more.
        name: name in results and tags.
    """

    name = "conditional_lofo"
    scoring = AVERAGED
    screen_scale = 0.5  # where the model is right, permuting costs twice what leaving out does

    def __init__(self, n_repeats: int = 5, *, name: str | None = None) -> None:
        super().__init__(n_repeats, name=name)
        if self.n_repeats < 2:
            raise ValueError(
                f"{type(self).__name__} got n_repeats=1. Pass 2 or more: the mean of one prediction is "
                "that prediction."
            )

    def check(self, evaluator: Evaluator) -> None:
        """Raises `InvalidArgumentError` as conditional permutation does, and for very many outputs."""
        super().check(evaluator)
        if not evaluator.model.built:
            return
        n_rows, n_outputs = evaluator.data.n_rows, evaluator.outputs.n_values
        most = MAX_HELD_VALUES // (self.n_repeats * n_outputs)
        if n_rows > most:
            raise InvalidArgumentError(
                f"got {n_rows} validation rows of {n_outputs} output values for {self.name!r}, which "
                f"holds those of {self.n_repeats} repeats in memory. Pass max_samples={most} or less."
            )

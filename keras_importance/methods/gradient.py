"""Gradient importance: how strongly the output responds to one standard deviation of each input."""

from __future__ import annotations

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.gradients.differentiator import InputGradients, Scalars
from keras_importance.methods.differentiation import DifferentiatingMethod, Of, PartScorer
from keras_importance.methods.feature_parts import PartShape, parts_of
from keras_importance.methods.gradient_from_rows import Aggregation, ScorerFromRows
from keras_importance.methods.gradient_from_sums import ScorerFromSums


class GradientImportance(DifferentiatingMethod):
    """Mean size of the gradient with respect to each feature, times the feature's spread.

        importance_j = mean_{i,t} sqrt(g_itj' S_j g_itj),    g = d output / d x

    over rows `i` and time steps `t`, with `S_j` the covariance matrix of the feature's columns. For a
    single column it is `s_j · mean |g|`, with `s_j` its standard deviation: the effect of a step of one
    standard deviation on the output, in units of the output. The size is taken before the average, so
    effects of opposite sign don't cancel. Rescaling an input, with the inverse scale on its weights,
    changes nothing. In a one-hot block only differences between categories count.

    Padded steps count for nothing: the mean is over the valid steps of a row, then over the rows that
    have any. `S_j` and the map by steps are over valid steps as well.

    Several outputs `m` are combined into the length `sqrt(sum_m g_m²)` of their gradients. Beyond 16
    outputs the length is estimated with random signs, 1.6% too low on average. For a classifier trained
    with categorical cross-entropy, the log-probability of the true class is differentiated. The
    probabilities themselves sum to 1, so their sum has no gradient.

    `direction` is the signed mean `s_j · mean g`, for a single output. It never ranks features, because
    it vanishes where effects change sign. An input of whole numbers has no gradient; its features get
    NaN and a note.

    Source: Sobol & Kucherenko (2009), Math. Comput. Simul. 79; Hutchinson (1990) for random signs.

    Args:
        of: `"output"`, `"loss"`, or `"auto"`: the loss for categorical cross-entropy, else the output.
        aggregation: `"mean"` of the sizes, or `"rms"`, their root mean square, which gives more weight
            to rows with large gradients. With `"rms"` the squares are summed over time steps, not
            averaged.
        output: name of the output to differentiate, where there are several; None for all.
        name: name in results and tags.
    """

    name = "gradient"

    def __init__(
        self,
        of: Of = "auto",
        *,
        aggregation: Aggregation = "mean",
        output: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(of, output=output, name=name)
        self.aggregation = self._one_of("aggregation", aggregation, Aggregation)

    def part_scorer(self, evaluator: Evaluator, data: ValidationData, scalars: Scalars) -> PartScorer:
        """Differentiates the model: one forward and backward pass for each scalar.

        If sums over rows are enough to score a part, they are computed on the device, and the gradients
        are not copied into memory.
        """
        parts = parts_of(evaluator)
        singles: set[PartShape] = set()
        if self.aggregation == "mean" and data.blocks is None:
            singles = {
                shape for shape in parts if shape.width == 1 and shape.is_whole and not shape.is_padded
            }
        passes: list[InputGradients] = []
        if singles != parts.keys():
            passes = [evaluator.gradients(scalar, data) for scalar in scalars]
        from_rows = ScorerFromRows(data, passes, self.aggregation)
        if not singles:
            return from_rows
        moments = evaluator.gradient_moments(scalars, data, passes)
        return ScorerFromSums(data, moments, singles, from_rows)

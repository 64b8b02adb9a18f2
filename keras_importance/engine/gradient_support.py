"""Which inputs and features have a gradient at all, and why others have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from keras_importance.data.columns import Column
from keras_importance.data.features import Feature
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.gradients.differentiator import InputGradients
from keras_importance.engine.model_outputs import ModelOutputs
from keras_importance.engine.response import Response
from keras_importance.statistics.arrays import Array

# How often the model is asked at most about features whose gradient is 0.
_MOST_QUESTIONS = 200
# At so many points between so many rows a gradient is looked for.
_POINTS_BETWEEN = 8
_ROWS_BETWEEN = 512


class GradientSupport:
    """Tells a gradient that is 0 from one that doesn't exist.

    Args:
        data: the rows.
        outputs: the model's outputs for a few rows.
        gradients: from a direction and rows to the gradients of the outputs in this direction.
        rng: draws the direction.
    """

    def __init__(
        self,
        data: ValidationData,
        outputs: ModelOutputs,
        gradients: Callable[[Array, ValidationData], InputGradients],
        rng: np.random.Generator,
    ) -> None:
        self._data = data
        self._outputs = outputs
        self._gradients = gradients
        self._rng = rng

    def why_no_gradient(self, input_index: int) -> str | None:
        """Why an input has no gradient; None if the model ignores the input, so the gradient is 0."""
        columns, values = self._data.columns[input_index], self._data.inputs[input_index]
        if values.dtype.kind in "OSU":
            return f"input {columns.name!r} holds texts, which have no gradient"
        if values.dtype.kind != "f":
            return f"input {columns.name!r} holds {values.dtype} values, which have no gradient"
        every_column = [(input_index, column) for column in range(len(columns.columns))]
        response = self._response()
        if not response.depends_on(every_column):
            return None
        what = f"input {columns.name!r}"
        return _whole(response, what, every_column) or _passes_none(what)

    def why_zeros_are_no_gradients(self, features: Sequence[Feature]) -> list[str | None]:
        """For each feature why it has no gradient, although the backend returns 0 at every row.

        Some backends return 0 behind an operation that passes no gradient, such as a look-up of codes.

        Returns:
            The reasons; None where 0 is right: the feature has no effect, or none at the rows.
        """
        reasons: list[str | None] = [None] * len(features)
        if not features:
            return reasons
        response = self._response()
        suspects: list[int] = []
        for index in _with_effect(features, response):
            columns = features[index].columns
            if any(self._data.inputs[i].dtype.kind != "f" for i, _ in columns):
                continue  # its input has no gradient, and that reason is known
            reasons[index] = _whole(response, repr(features[index].name), columns)
            if reasons[index] is None:
                suspects.append(index)
        smooth = self._with_gradient_between([c for index in suspects for c in features[index].columns])
        for index in suspects:
            if smooth.isdisjoint(features[index].columns):
                reasons[index] = _passes_none(repr(features[index].name))
        return reasons

    def _with_gradient_between(self, columns: Sequence[Column]) -> set[Column]:
        """The columns that have a gradient at points between a row's values and those of another row.

        So a network that is flat at the rows alone, such as a saturated one, is told from an operation
        that passes no gradient.
        """
        found: set[Column] = set()
        if not columns:
            return found
        few = self._data.only(np.arange(min(_ROWS_BETWEEN, self._data.n_rows)))
        # At random: probabilities, which sum to 1, have a gradient in such a direction.
        direction = self._rng.standard_normal((1, self._outputs.n_values))
        for fraction in (np.arange(_POINTS_BETWEEN) + 0.5) / _POINTS_BETWEEN:
            gradients = self._gradients(direction, _between(few, columns, fraction)).arrays
            for column in columns:
                gradient = gradients[column[0]]
                if gradient is not None and np.any(_column(gradient, column)):
                    found.add(column)
        return found

    def why_part_has_none(self, feature: Feature) -> str | None:
        """Why a feature has no gradient of which some columns are codes; None for another feature."""
        codes = [column for column in feature.columns if column in self._data.codes]
        if not codes or len(codes) == len(feature.columns):
            return None
        if not self._response().depends_on(codes):
            return None
        index, column = codes[0]
        name = self._data.columns[index].columns[column]
        return f"the model turns {name!r} of {feature.name!r} into whole numbers: no gradient"

    def _response(self) -> Response:
        # Anew each time: the weights may have changed.
        return Response(self._data, self._outputs.few_rows, self._outputs.of)


def _whole(response: Response, what: str, columns: Sequence[Column]) -> str | None:
    is_it = response.takes_as_whole_numbers(columns)
    return f"the model turns {what} into whole numbers: no gradient" if is_it else None


def _passes_none(what: str) -> str:
    return (
        f"the model has no gradient with respect to {what}: an operation in it (e.g. a numpy_function, "
        "a rounding or stop_gradient) passes none"
    )


def _between(data: ValidationData, columns: Sequence[Column], fraction: float) -> ValidationData:
    """The rows, with columns at a fraction of the way to the values of the row before."""
    inputs = [values.copy() if values.dtype.kind == "f" else values for values in data.inputs]
    for column in columns:
        values = _column(inputs[column[0]], column)
        values += (fraction * (np.roll(values, 1, axis=0) - values)).astype(values.dtype)
    return data.with_inputs(tuple(inputs))


def _column(values: Array, column: Column) -> Array:
    """A view of the values of a column of an input."""
    return values[...] if values.ndim == 1 else values[..., column[1]]


def _with_effect(features: Sequence[Feature], response: Response) -> list[int]:
    """Indices of the features on which the outputs depend, asked for many at once.

    Beyond 200 questions, features that have an effect together count as features with an effect.
    """
    found: list[int] = []
    pending, n_asked = [list(range(len(features)))], 0
    while pending:
        part = pending.pop()
        n_asked += 1
        if not response.depends_on([column for index in part for column in features[index].columns]):
            continue
        if len(part) == 1 or n_asked >= _MOST_QUESTIONS:
            found += part
            continue
        middle = len(part) // 2
        pending += [part[middle:], part[:middle]]
    return found

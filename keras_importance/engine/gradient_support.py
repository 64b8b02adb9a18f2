"""Which inputs and features have a gradient at all, and why others have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras_importance.data.columns import Column
from keras_importance.data.features import Feature
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.response import Response
from keras_importance.statistics.arrays import Array, Integers

# How often the model is asked at most about features whose gradient is 0.
_MOST_QUESTIONS = 200
_EXAMPLES = "a numpy_function, a rounding or stop_gradient"


class GradientSupport:
    """Tells a gradient that is 0 from one that doesn't exist.

    Args:
        data: the rows.
        few_rows: indices of a few of the rows.
        outputs: from the list of inputs for these few rows to the model's outputs, as arrays.
    """

    def __init__(
        self, data: ValidationData, few_rows: Integers, outputs: Callable[[list[Array]], Any]
    ) -> None:
        self._data = data
        self._few_rows = few_rows
        self._outputs = outputs

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
        return _whole(response, what, every_column) or (
            f"the model has no gradient with respect to {what}: an operation in it (e.g. {_EXAMPLES}) "
            "passes none"
        )

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
        for index in _with_effect(features, response):
            columns = features[index].columns
            if any(self._data.inputs[i].dtype.kind != "f" for i, _ in columns):
                continue  # its input has no gradient, and that reason is known
            if not response.is_flat_here_alone(columns):
                name = repr(features[index].name)
                reasons[index] = _whole(response, name, columns) or (
                    f"the gradient with respect to {name} is 0 at every row, though the outputs change "
                    f"with it: an operation in the model (e.g. {_EXAMPLES}) passes none, or is saturated"
                )
        return reasons

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
        return Response(self._data, self._few_rows, self._outputs)


def _whole(response: Response, what: str, columns: Sequence[Column]) -> str | None:
    is_it = response.takes_as_whole_numbers(columns)
    return f"the model turns {what} into whole numbers: no gradient" if is_it else None


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

"""MixedRows: does the model treat each row alone, and if not, in which batches does it get them?"""

from __future__ import annotations

from functools import cached_property

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends.compiler import Compiler
from keras_importance.engine.model_outputs import ModelOutputs
from keras_importance.errors import warn


class MixedRows:
    """Tells whether the outputs of a model for a row depend on the other rows of its batch.

    Such a model gets its rows in the batches in which `fit` validates.

    Args:
        compiler: compiles for the model.
        data: the rows.
    """

    def __init__(self, compiler: Compiler, data: ValidationData) -> None:
        self._model = compiler.model
        self._size = min(data.batch_size, data.n_rows)
        self._of_few = ModelOutputs(compiler, data)
        self._of_batch = ModelOutputs(compiler, data, self._size)

    @property
    def size(self) -> int:
        """How many rows a batch has."""
        return self._size

    @property
    def batch_size(self) -> int | None:
        """How many rows the model must get at once, in their order; None for any."""
        return self._size if self.are_mixed else None

    @property
    def outputs(self) -> ModelOutputs:
        """The outputs of the model."""
        return self._of_batch if self.are_mixed else self._of_few

    @property
    def may_be_mixed(self) -> bool:
        """Whether rows are mixed, or the model fails on a part of a batch; False if it isn't built."""
        if not self._model.built:
            return False
        try:
            return self._of_few.mix_rows
        except Exception:  # noqa: BLE001 (all rows of the batches are tried next)
            return True

    @cached_property
    def are_mixed(self) -> bool:
        """Whether the outputs for a row depend on the other rows; then it is said, once."""
        try:
            are_mixed = self._of_few.mix_rows
        except Exception:
            if not self._takes_whole_batches:
                raise
            are_mixed = True  # as the nodes of one graph
        if are_mixed:
            warn(
                "the model's output for a row depends on the other rows of its batch. It is scored in "
                f"batches of {self._size:,} rows, in their order: importances, errors and intervals "
                "hold for these batches. To score rows alone, let no layer reduce over the first axis."
            )
        return are_mixed

    @property
    def _takes_whole_batches(self) -> bool:
        try:
            _ = self._of_batch.few
        except Exception:  # noqa: BLE001 (the caller has the error for a few rows, which tells more)
            return False
        return True

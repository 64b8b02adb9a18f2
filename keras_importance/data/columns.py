"""The columns of the inputs: their names, and the labels that the user's data give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Column = tuple[int, int]
"""Index of the input, and index of the column along the input's last axis."""


@dataclass(frozen=True)
class InputColumns:
    """The name of one input of the model, and its columns.

    Attributes:
        name: name of the input.
        columns: names of the columns, as results show them.
        labels: the labels of the columns in the user's data, such as those of a DataFrame: texts,
            numbers, tuples of a MultiIndex; None where the data have none, or number their columns 0, 1,
            2 and so on.
    """

    name: str
    columns: tuple[str, ...]
    labels: tuple[Any, ...] | None = None

    @classmethod
    def labelled(cls, name: str, labels: Sequence[Any]) -> InputColumns:
        """Columns with labels. Each is named by the text of its label; equal texts are numbered."""
        are_positions = all(_is_same(label, index) for index, label in enumerate(labels))
        return cls(name, _unique_texts(labels), None if are_positions else tuple(labels))


def full_names(inputs: Sequence[InputColumns]) -> list[str]:
    """For each column of all inputs its name in results.

    A column of several inputs is `<input>/<column>`; the column of an input that has no other bears the
    name of the input.
    """
    if len(inputs) == 1:
        return list(inputs[0].columns)
    return [
        model_input.name if len(model_input.columns) == 1 else f"{model_input.name}/{column}"
        for model_input in inputs
        for column in model_input.columns
    ]


def _is_same(label: Any, index: int) -> bool:
    is_number = isinstance(label, (int, float, np.number)) and not isinstance(label, bool)
    return is_number and bool(label == index)


def _unique_texts(labels: Sequence[Any]) -> tuple[str, ...]:
    """The labels as texts; of equal texts, the second becomes `a.1`, the third `a.2`, as in pandas."""
    texts = [str(label) for label in labels]
    if len(set(texts)) == len(texts):
        return tuple(texts)
    taken, unique = set(texts), []
    counts: dict[str, int] = {}
    for text in texts:
        count = counts.get(text, 0)
        name = f"{text}.{count}" if count else text
        while count and name in taken:
            count += 1
            name = f"{text}.{count}"
        counts[text] = count + 1
        taken.add(name)
        unique.append(name)
    return tuple(unique)

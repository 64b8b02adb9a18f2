"""What counts as one feature: a column, or a group of columns, of one or several inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_importance.data.columns import Column, InputColumns, full_names
from keras_importance.data.group_members import GroupMembers
from keras_importance.errors import InvalidArgumentError, did_you_mean
from keras_importance.statistics.arrays import Integers


@dataclass(frozen=True)
class Feature:
    """One or more columns that are perturbed, left out and reported together."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class FeatureSet:
    """The features; each column of the inputs belongs to exactly one of them."""

    features: tuple[Feature, ...]
    inputs: tuple[InputColumns, ...]

    @classmethod
    def from_argument(
        cls, argument: Any, inputs: Sequence[InputColumns], *, in_written_order: bool = True
    ) -> FeatureSet:
        """The features that the user's `features` argument means.

        Args:
            argument: None for one feature per column; a list of names, one for each column; or a dict
                `{group: members}`, a member being a column's label or name, an input's name (all its
                columns), an index, or `(input, label or index)`. Columns in no group stay features
                of their own. A list of the columns' own names, in any order, changes nothing.
            inputs: the inputs of the model.
            in_written_order: whether they stand in the order in which the user wrote them.

        Raises:
            InvalidArgumentError: for too few, too many or equal names, names of other columns, unknown
                members, members that can be read in two ways, and groups that are empty or overlap.
        """
        inputs = tuple(inputs)
        argument = _plain(argument)
        if isinstance(argument, Mapping):
            features = _groups(argument, GroupMembers(inputs))
        else:
            names = full_names(inputs)
            if argument is not None:
                names = _names(argument, inputs, in_written_order=in_written_order)
            columns = (
                (input_index, column)
                for input_index, model_input in enumerate(inputs)
                for column in range(len(model_input.columns))
            )
            features = [Feature(name, (column,)) for name, column in zip(names, columns, strict=True)]
        features = [Feature(_writable(feature.name), feature.columns) for feature in features]
        _check_unique([feature.name for feature in features])
        return cls(tuple(features), inputs)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order in which every result reports them."""
        return tuple(feature.name for feature in self.features)

    def of_columns(self) -> list[Integers]:
        """For each input `(n_columns,)` the index of the feature that each column belongs to.

        It is 0 for a column of no feature.
        """
        owners = [np.zeros(len(model_input.columns), np.int64) for model_input in self.inputs]
        for index, feature in enumerate(self.features):
            for input_index, column in feature.columns:
                owners[input_index][column] = index
        return owners

    def __len__(self) -> int:
        return len(self.features)


def _plain(value: Any) -> Any:
    """An array as a list, an array of no axes as its value; all else as it is."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def _writable(name: str) -> str:
    """The name with lone surrogates, which UTF-8 can't encode, replaced."""
    return name.encode("utf-8", "replace").decode()


def _names(argument: Any, inputs: Sequence[InputColumns], *, in_written_order: bool) -> list[str]:
    """A name for each column, from a list of names.

    Raises:
        InvalidArgumentError: for another type, another number of names, or the name of another column.
    """
    own = full_names(inputs)
    if isinstance(argument, (str, Set)) or not isinstance(argument, Iterable):
        hint = did_you_mean(argument, ["correlated"])
        raise InvalidArgumentError(
            f"got features={argument!r}.{hint} Pass None, 'correlated', a list with one name per input "
            "column, or a dict of groups such as {'wind': [0, 1]}."
        )
    names = [str(name) for name in argument]
    if len(names) != len(own):
        raise InvalidArgumentError(
            f"got {len(names)} feature names for {len(own)} input columns. Pass one name per "
            "column, or a dict of groups such as {'wind': [0, 1]}."
        )
    labelled = _labelled_names(inputs)
    if labelled and sorted(names) == sorted(own):
        return own
    if not in_written_order:
        raise InvalidArgumentError(
            "got a list of feature names and a dict of inputs, whose keys Keras sorts: "
            f"{', '.join(model_input.name for model_input in inputs)}. Pass features as a dict such as "
            f"{{'my name': ({inputs[0].name!r}, 0)}}, or write the keys in this order."
        )
    for name, column in zip(names, own, strict=True):
        if name != column and name in labelled:
            raise InvalidArgumentError(
                f"got the feature name {name!r} for the column {column!r}, where another column is "
                f"called {name!r}. Pass the names in the order of the columns ({', '.join(own[:8])}"
                f"{', ...' if len(own) > 8 else ''}), or leave features out to keep their own names."
            )
    return names


def _labelled_names(inputs: Sequence[InputColumns]) -> set[str]:
    """The names of the columns that have labels in the user's data."""
    has_label = [
        model_input.labels is not None for model_input in inputs for _ in range(len(model_input.columns))
    ]
    return {name for name, is_it in zip(full_names(inputs), has_label, strict=True) if is_it}


def _groups(argument: Mapping[Any, Any], members: GroupMembers) -> list[Feature]:
    features = []
    owner: dict[Column, str] = {}
    for group, of_group in argument.items():
        columns = tuple(members.columns_of(group, of_group))
        if not columns:
            raise InvalidArgumentError(
                f"got the empty group {group!r}. Give it at least one column, or leave it out."
            )
        for column in columns:
            if column in owner:
                raise InvalidArgumentError(
                    f"got column {members.name_of[column]!r} in two groups, {owner[column]!r} and "
                    f"{group!r}. Groups must not overlap: keep it in one of them."
                )
            owner[column] = str(group)
        features.append(Feature(str(group), columns))
    alone = [Feature(name, (column,)) for column, name in members.name_of.items() if column not in owner]
    return sorted(features + alone, key=lambda feature: min(feature.columns))


def _check_unique(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidArgumentError(
            f"got the feature name {twice[0]!r} more than once. Give every feature a name of its own, "
            "as in features=[...]."
        )
